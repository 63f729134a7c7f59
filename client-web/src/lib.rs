//! Tidekeep's client for JavaScript: the client core behind five exports over numbers, and bytes that
//! each side leaves in this memory for the other. `ts/engine.ts` makes a client of them; nobody else
//! calls them.
//!
//! One instance of the module serves one client. The core decides everything; this crate moves
//! bytes between it and the page, which has the socket. Nothing here calls back into the page, so
//! that no turn is ever amid another.

mod driver;
mod packed;

use std::cell::Cell;

use tidekeep_client_core::{Config, Millis};
use wasm_bindgen::prelude::*;

use driver::Driver;

/// A small allocator with constant time (TLSF): the default one's code would be a fifth of the module.
#[cfg(target_arch = "wasm32")]
#[global_allocator]
static ALLOCATOR: rlsf::SmallGlobalTlsf = rlsf::SmallGlobalTlsf::new();

thread_local! {
    /// Lent by the instance for as long as it lives. Taken while something runs.
    static DRIVER: Cell<Option<&'static mut Driver>> = const { Cell::new(None) };
}

/// Makes the client of this instance. Nothing happens before the first call or watch.
///
/// `seed` makes the pauses between attempts to connect random; `calls_max` bounds the calls that
/// wait; `backoff_min_ms` and `backoff_max_ms` bound the pauses.
#[wasm_bindgen]
pub fn start(seed: u32, calls_max: u32, backoff_min_ms: u32, backoff_max_ms: u32) {
    let config = Config {
        queue_calls: calls_max,
        backoff_min_ms,
        backoff_max_ms,
        software: concat!("tidekeep-js/", env!("CARGO_PKG_VERSION")).into(),
        ..Config::default()
    };
    let driver = Box::new(Driver::new(config, u64::from(seed)));
    DRIVER.set(Some(Box::leak(driver)));
}

/// Makes room for the bytes that come with the next [`ask`] or [`turn`], and says where.
#[wasm_bindgen]
pub fn room(length: usize) -> usize {
    with(|driver| driver.room(length))
}

/// Asks for something, as `driver::asked` lists it: `what` of `id`. It goes out with the next turn.
/// Gives back the id of what was made, and 0 for what cannot be.
///
/// `now` is the host's clock, which never goes back, in milliseconds; `number` and `since` are whole
/// or rounded down.
#[wasm_bindgen]
pub fn ask(now: f64, what: u32, id: u32, number: f64, since: f64) -> f64 {
    let since = Millis(since as u64);
    let made = with(|driver| driver.ask(Millis(now as u64), what, id, number as u64, since));
    made.unwrap_or(0) as f64
}

/// Takes what has happened, as `driver::happened` lists it. Gives back where the records lie that are
/// left for the page, behind their length as a u32; they stay there until the next call.
#[wasm_bindgen]
pub fn turn(now: f64, what: u32) -> usize {
    with(|driver| driver.turn(Millis(now as u64), what))
}

/// Looks at what a view or the queue holds or what is to be sent, as `driver::looked` lists it. Gives back
/// where that lies, behind its length as a u32; it stays there until the next call.
#[wasm_bindgen]
pub fn look(what: u32, id: u32) -> usize {
    with(|driver| driver.look(what, id))
}

fn with<T: Default>(run: impl FnOnce(&mut Driver) -> T) -> T {
    let Some(driver) = DRIVER.take() else { return T::default() };
    let result = run(driver);
    DRIVER.set(Some(driver));
    result
}
