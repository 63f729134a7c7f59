//! Tidekeep's client for JavaScript: the client core behind a dozen exports over bytes and numbers.
//! `ts/` makes a typed client of them; nobody else calls them.
//!
//! One instance of the module serves one client. The core decides everything; this crate moves
//! bytes between it, the browser's WebSocket and the page.

mod driver;
mod packed;

use std::cell::RefCell;

use tidekeep_client_core::{CallId, Config, Input, Millis, WatchId};
use wasm_bindgen::prelude::*;

use driver::{Driver, Host};

thread_local! {
    static DRIVER: RefCell<Option<Driver>> = const { RefCell::new(None) };
}

/// Makes the client of this instance. Nothing happens before the first call or watch.
///
/// `seed` makes the pauses between attempts to connect random; `calls_max` bounds the calls that
/// wait; `backoff_min_ms` and `backoff_max_ms` bound the pauses.
#[wasm_bindgen]
pub fn start(host: Host, seed: u32, calls_max: u32, backoff_min_ms: u32, backoff_max_ms: u32) {
    let config = Config {
        queue_calls: calls_max,
        backoff_min_ms,
        backoff_max_ms,
        software: concat!("tidekeep-js/", env!("CARGO_PKG_VERSION")).into(),
        ..Config::default()
    };
    let driver = Driver::new(host, config, u64::from(seed));
    DRIVER.with_borrow_mut(|place| *place = Some(driver));
}

/// Makes a call and gives back its id; 0 for a kind that is no operation. `kind` is the number of
/// the operation or of a ping, `body` the request's body.
#[wasm_bindgen]
pub fn call(kind: u8, body: &[u8], timeout_ms: u32) -> u32 {
    with(|driver| driver.call(kind, body, timeout_ms)).flatten().map_or(0, |CallId(id)| id)
}

/// Gives a call up.
#[wasm_bindgen]
pub fn cancel(call: u32) {
    with(|driver| driver.cancel(CallId(call)));
}

/// Opens a watch and gives back its id; 0 when `body` is no watch request's body.
#[wasm_bindgen]
pub fn watch(body: &[u8]) -> u32 {
    with(|driver| driver.watch(body)).flatten().map_or(0, |WatchId(id)| id)
}

/// Ends a watch.
#[wasm_bindgen]
pub fn unwatch(watch: u32) {
    with(|driver| driver.unwatch(WatchId(watch)));
}

/// Stops a watch's stream for now, once it has caught up.
#[wasm_bindgen]
pub fn pause(watch: u32) {
    with(|driver| driver.pause(WatchId(watch)));
}

/// Lets a watch's stream go on where it stopped.
#[wasm_bindgen]
pub fn resume(watch: u32) {
    with(|driver| driver.resume(WatchId(watch)));
}

/// Keeps a lease alive whose time counts since `since` on the host's clock. All three are whole or
/// rounded down: a lease that ends too early does no harm.
#[wasm_bindgen]
pub fn keep(lease: f64, ttl_ms: f64, since: f64) {
    with(|driver| driver.keep(lease as u64, ttl_ms as u64, Millis(since as u64)));
}

/// Keeps a lease no longer.
#[wasm_bindgen]
pub fn forget(lease: f64) {
    with(|driver| driver.forget(lease as u64));
}

/// Sends what the calls since the last turn asked for, in as few messages as it fits in.
#[wasm_bindgen]
pub fn flush() {
    driver::turn(None);
}

/// The time has come that the host's timer was set for.
#[wasm_bindgen]
pub fn tick() {
    with(Driver::disarm);
    driver::turn(Some(Input::Tick));
}

/// The page became visible or the network came back: no need to wait out a pause.
#[wasm_bindgen]
pub fn woke() {
    driver::turn(Some(Input::Woke));
}

/// Ends the client; what is under way settles first.
#[wasm_bindgen]
pub fn close() {
    with(Driver::close);
    driver::turn(None);
}

fn with<T>(run: impl FnOnce(&mut Driver) -> T) -> Option<T> {
    DRIVER.with_borrow_mut(|place| place.as_mut().map(run))
}
