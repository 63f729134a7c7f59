//! A port that a server can be started on again and again.

use std::net::{TcpListener, UdpSocket};
use std::sync::{Mutex, PoisonError};

/// A loopback port that was free a moment ago.
pub fn free() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}

/// A loopback port that is free, below those that the system gives away by itself, and given to nobody else as long as
/// this process lives: nobody takes it while the server that had it is down.
pub fn kept() -> u16 {
    // Servers take TCP alone, so the UDP port of the same number says to all tests that it is somebody's.
    static CLAIMS: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());
    let claim = |port: u16| {
        let claim = UdpSocket::bind(("127.0.0.1", port)).ok()?;
        TcpListener::bind(("127.0.0.1", port)).ok()?;
        CLAIMS.lock().unwrap_or_else(PoisonError::into_inner).push(claim);
        Some(port)
    };
    let mut rng = fastrand::Rng::new();
    let mut ports = std::iter::repeat_with(|| rng.u16(20_000..32_000)).take(1_000);
    ports.find_map(claim).expect("loopback has a free port")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_port_is_given_twice() {
        let ports: BTreeSet<_> = std::iter::repeat_with(kept).take(600).collect();
        assert_eq!(ports.len(), 600);
    }
}
