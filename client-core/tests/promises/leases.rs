//! Leases that the core keeps alive: as long as the server answers, over breaks, and not a moment
//! longer than the server can have kept them.

use tidekeep_client_core::protocol::error::Code;
use tidekeep_client_core::{Config, Error, Input, Millis, Queue, State};

use crate::pair::{Pair, Seen};

const TTL_MS: u64 = 9_000;
/// What of it a holder counts on, however the server's clock is set.
const COUNTED_MS: u64 = TTL_MS / 10 * 9;

/// A client that keeps lease 5, which was asked for 100 ms ago.
fn keeping(config: Config) -> Pair {
    let mut pair = Pair::ready_with(config);
    pair.server.leases.push(5);
    pair.core.keep_lease(Millis(pair.now), 5, TTL_MS, Millis(pair.now - 100));
    pair.run();
    pair
}

fn lost(pair: &Pair) -> Vec<(u64, Error)> {
    let lost = |seen: &Seen| match seen {
        Seen::LeaseLost(lease, error) => Some((*lease, error.clone())),
        _ => None,
    };
    pair.seen.iter().filter_map(lost).collect()
}

#[test]
fn lease_is_kept_alive_whenever_a_third_of_its_time_is_over() {
    let mut pair = keeping(Config::default());
    pair.pass(2_899);
    assert_eq!(pair.server.kept_alive.len(), 0);
    pair.pass(1);
    assert_eq!(pair.server.kept_alive, [5]);
    pair.pass(9 * 3_000);
    assert_eq!(pair.server.kept_alive.len(), 10);
    assert_eq!(lost(&pair), []);
    let replies = pair.seen.iter().filter(|seen| matches!(seen, Seen::Reply(..))).count();
    assert_eq!((replies, pair.core.pending()), (0, 0), "the driver hears nothing of it");
    pair.core.forget_lease(Millis(pair.now), 5);
    pair.pass(60_000);
    assert_eq!(pair.server.kept_alive.len(), 10);
    assert_eq!(lost(&pair), []);
}

#[test]
fn lease_outlives_breaks_that_are_shorter_than_its_time() {
    let mut pair = keeping(Config { backoff_max_ms: 500, ..Config::default() });
    for _ in 0..20 {
        pair.reachable = false;
        pair.cut();
        pair.pass(2_000);
        pair.reachable = true;
        pair.pass(12_000);
        assert_eq!(pair.core.state(), State::Ready);
    }
    assert_eq!(lost(&pair), []);
}

#[test]
fn lease_is_lost_once_its_time_is_over_since_the_last_answer_was_asked_for() {
    let mut pair = keeping(Config::default());
    pair.pass(3_000);
    let asked = pair.now - 100;
    pair.server.hold_replies = true;
    let end = asked + COUNTED_MS;
    pair.pass(end - 1 - pair.now);
    assert_eq!(lost(&pair), []);
    pair.pass(1);
    let lost_now = lost(&pair);
    assert_eq!((lost_now[0].0, lost_now[0].1.code), (5, Code::Timeout));
    pair.pass(100_000);
    assert_eq!(lost(&pair).len(), 1, "it is told once");
}

#[test]
fn lease_that_was_never_answered_counts_from_when_it_was_asked_for() {
    let mut pair = keeping(Config::default());
    pair.reachable = false;
    pair.cut();
    pair.pass(COUNTED_MS - 101);
    assert_eq!(lost(&pair), []);
    pair.pass(1);
    assert_eq!(lost(&pair).len(), 1);
}

#[test]
fn lease_that_the_server_no_longer_knows_is_lost_at_once() {
    let mut pair = keeping(Config::default());
    pair.server.leases.clear();
    pair.pass(2_899);
    assert_eq!(lost(&pair), []);
    pair.pass(1);
    assert_eq!(lost(&pair)[0].1.code, Code::NotFound);
}

#[test]
fn machine_that_slept_too_long_finds_its_lease_lost_before_anything_is_asked() {
    for input in [Input::Tick, Input::Woke] {
        let mut pair = keeping(Config::default());
        pair.pass(3_000);
        let kept = pair.server.kept_alive.len();
        pair.now += TTL_MS;
        pair.handle(input);
        assert_eq!(lost(&pair).len(), 1);
        pair.pass(100_000);
        assert_eq!(pair.server.kept_alive.len(), kept);
    }
}

#[test]
fn answer_from_before_a_sleep_gives_no_time_that_is_over() {
    let mut pair = keeping(Config::default());
    pair.server.silent = true;
    pair.pass(3_000);
    // The answer was made then and is read now.
    pair.now += TTL_MS;
    let answer = pair.core.wait();
    assert!(answer.is_some_and(|at| at.0 < pair.now));
    pair.server.silent = false;
    pair.run();
    assert_eq!(pair.server.kept_alive, [5]);
    pair.handle(Input::Tick);
    assert_eq!(lost(&pair).len(), 1);
}

#[test]
fn refusal_that_need_not_last_is_tried_again_while_there_is_time() {
    let mut pair = keeping(Config::default());
    pair.server.stopping = true;
    pair.pass(6_000);
    pair.server.stopping = false;
    pair.pass(1_000);
    assert_eq!(pair.server.kept_alive, [5]);
    pair.server.stopping = true;
    pair.pass(20_000);
    assert_eq!(lost(&pair)[0].1.code, Code::Unavailable, "the last refusal says why");
}

#[test]
fn client_that_fails_fast_keeps_its_leases_over_a_break_too() {
    let mut pair =
        keeping(Config { queue: Queue::FailFast, backoff_max_ms: 500, ..Config::default() });
    pair.reachable = false;
    pair.cut();
    pair.pass(5_000);
    pair.reachable = true;
    pair.pass(3_000);
    assert_eq!(lost(&pair), []);
    assert!(!pair.server.kept_alive.is_empty());
}

#[test]
fn closed_client_tells_that_its_leases_are_lost() {
    let mut pair = keeping(Config::default());
    pair.server.hold_replies = true;
    pair.pass(3_000);
    pair.core.close(Millis(pair.now));
    pair.run();
    assert_eq!(pair.core.state(), State::Closed, "no keep-alive holds it up");
    pair.core.keep_lease(Millis(pair.now), 6, TTL_MS, Millis(pair.now));
    pair.run();
    let lost: Vec<_> = lost(&pair).into_iter().map(|(lease, error)| (lease, error.code)).collect();
    assert_eq!(lost, [(5, Code::Closed), (6, Code::Closed)]);
}
