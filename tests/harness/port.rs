//! A port that a server can be started on again and again.

use std::net::TcpListener;

/// A loopback port that was free a moment ago.
pub fn free() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}

/// A loopback port that is free, and below those that the system gives away by itself: nobody takes it
/// while the server that had it is down.
pub fn kept() -> u16 {
    let mut rng = fastrand::Rng::new();
    let ports = std::iter::repeat_with(|| rng.u16(20_000..32_000)).take(1_000);
    let mut free = ports.filter(|&port| TcpListener::bind(("127.0.0.1", port)).is_ok());
    free.next().expect("loopback has a free port")
}
