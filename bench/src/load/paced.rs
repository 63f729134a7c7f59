//! The loop in which requests leave at fixed times, whatever the server does. A reply's time counts
//! from when its request was due, so a server that stalls does not hide those that had to wait.

use std::collections::VecDeque;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;
use mio::{Events, Poll, Token};

use crate::load::args::Args;
use crate::load::connection::{Connection, Desk};
use crate::load::report::{Marks, Report, Slice};
use crate::load::tally::{Tally, histogram};
use crate::load::work::Work;
use crate::wire::{Broken, Wire};

/// Where requests are further apart than this, the core is left to others meanwhile.
const NAP: Duration = Duration::from_micros(100);
/// Replies that are still out when the time is over may take this long.
const END_LIMIT: Duration = Duration::from_secs(20);

pub(super) fn run<W: Wire>(args: &Args, rate: u32) -> Result<Report, Broken> {
    let mut poll = Poll::new()?;
    let mut connections = Vec::new();
    for number in 0..args.connections {
        let (token, server) = (Token(number as usize), args.server(number));
        connections.push(Connection::<W>::open(server, poll.registry(), token)?);
    }
    // All in turn: one that is never asked would not answer the server's pings.
    let mut free: VecDeque<usize> = (0..connections.len()).collect();
    let mut desk = Desk::new::<W>(args.shape());
    let mut tally = Tally::new(args)?;
    let mut work = Work::new(args);
    let mut events = Events::with_capacity(connections.len());
    let mut slices = Slices::new(args.slice_ms);

    let interval = Duration::from_secs(1) / rate.max(1);
    let warm_until = Instant::now() + Duration::from_secs_f64(args.warmup);
    let end = warm_until + Duration::from_secs_f64(args.seconds);
    let mut due = Instant::now();
    let mut measured: Option<Marks> = None;
    loop {
        let now = Instant::now();
        if measured.is_none() && now >= warm_until {
            tally.restart();
            measured = Some(Marks::now(&args.server_pid));
        }
        // What found no connection keeps its due time and goes first.
        while due <= now && due < end {
            let Some(number) = free.pop_front() else { break };
            let ask = work.next().into_iter();
            connections[number].send(ask, due, &mut desk, &tally)?;
            due += interval;
        }
        if (due >= end && free.len() == connections.len()) || now > end + END_LIMIT {
            break;
        }
        // To wait for what comes, or for the next request, would take longer than requests are apart.
        poll.poll(&mut events, Some(Duration::ZERO))?;
        if events.is_empty() && interval > NAP {
            thread::sleep(NAP);
        }
        for event in &events {
            let number = event.token().0;
            let connection = &mut connections[number];
            if event.is_writable() {
                connection.flush()?;
            }
            if connection.waiting == 0 {
                continue;
            }
            let now = connection.receive(&mut desk, &mut tally)?;
            if connection.waiting == 0 {
                slices.record(now, connection.since());
                free.push_back(number);
            }
        }
    }
    if due < end {
        tally.error("the server does not keep up with the rate".to_owned());
    } else if free.len() < connections.len() {
        tally.error(format!("{} requests stay unanswered", connections.len() - free.len()));
    }
    let marks = measured.unwrap_or_else(|| Marks::now(&args.server_pid));
    let mut report = Report::of(&tally, &marks);
    report.slices = slices.done;
    report.end(&tally, args)
}

/// Latencies by the time at which replies came.
struct Slices {
    length: Option<Duration>,
    since: Instant,
    latency: Histogram<u64>,
    done: Vec<Slice>,
}

impl Slices {
    fn new(slice_ms: Option<u64>) -> Self {
        let length = slice_ms.map(Duration::from_millis);
        Self { length, since: Instant::now(), latency: histogram(), done: Vec::new() }
    }

    fn record(&mut self, now: Instant, due: Instant) {
        let Some(length) = self.length else { return };
        if now >= self.since + length {
            let ended = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            self.done.push(Slice::of(ended, &self.latency));
            self.latency.reset();
            self.since = now;
        }
        let nanos = crate::load::tally::nanos(now.saturating_duration_since(due));
        self.latency.saturating_record(nanos);
    }
}
