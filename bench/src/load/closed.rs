//! The loop in which every connection sends its next batch when it has the replies to the last one, or every
//! caller its next request when it has its reply: as many requests as the server answers.

use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};

use crate::load::args::{Args, Operation};
use crate::load::connection::{Connection, Desk};
use crate::load::report::{Marks, Report};
use crate::load::tally::Tally;
use crate::load::work::Work;
use crate::wire::{Broken, Wire};

/// A server that answers nothing for so long is given up.
const SILENCE_LIMIT: Duration = Duration::from_secs(20);

/// Where a run is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Not measured yet, until this time.
    Warm(Instant),
    /// Measured, until this time, or until there is nothing left to ask.
    Measured(Option<Instant>),
    /// Nothing new is asked.
    Ending,
}

pub(super) fn run<W: Wire>(args: &Args) -> Result<Report, Broken> {
    let mut poll = Poll::new()?;
    let mut connections = Vec::new();
    for number in 0..args.connections {
        let (token, server) = (Token(number as usize), args.server(number));
        connections.push(Connection::<W>::open(server, poll.registry(), token)?);
    }
    let mut desk = Desk::new::<W>(args.shape());
    let mut tally = Tally::new(args)?;
    let mut work = Work::new(args);
    let mut events = Events::with_capacity(connections.len());

    let sweep = matches!(args.operation, Operation::Fill | Operation::Check);
    let timed = !sweep && args.requests.is_none();
    let mut marks = Marks::now(&args.server_pid);
    let mut phase = match timed {
        true => Phase::Warm(Instant::now() + Duration::from_secs_f64(args.warmup)),
        false => Phase::Measured(None),
    };
    let mut report = None;
    let mut busy = 0;
    let mut heard = Instant::now();
    for connection in &mut connections {
        let asks = std::iter::from_fn(|| work.next()).take(args.pipeline as usize);
        connection.send(asks, Instant::now(), &mut desk, &tally)?;
        busy += usize::from(connection.waiting > 0);
    }
    while busy > 0 {
        if args.spin {
            poll.poll(&mut events, Some(Duration::ZERO))?;
        } else {
            poll.poll(&mut events, Some(SILENCE_LIMIT))?;
        }
        if events.is_empty() && heard.elapsed() > SILENCE_LIMIT {
            return Err(Broken::protocol("the server is silent"));
        }
        for event in &events {
            let connection = &mut connections[event.token().0];
            if event.is_writable() {
                connection.flush()?;
            }
            if connection.waiting == 0 {
                continue;
            }
            let now = connection.receive(&mut desk, &mut tally)?;
            heard = now;
            match phase {
                Phase::Warm(until) if now >= until => {
                    tally.restart();
                    marks = Marks::now(&args.server_pid);
                    phase = Phase::Measured(Some(now + Duration::from_secs_f64(args.seconds)));
                }
                Phase::Measured(Some(until)) if now >= until => {
                    report = Some(Report::of(&tally, &marks));
                    phase = Phase::Ending;
                }
                _ => {}
            }
            if connection.waiting > 0 && !args.callers {
                continue;
            }
            if phase != Phase::Ending {
                let free = args.pipeline as usize - connection.waiting;
                let asks = std::iter::from_fn(|| work.next()).take(free);
                connection.send(asks, now, &mut desk, &tally)?;
            }
            busy -= usize::from(connection.waiting == 0);
        }
    }
    let report = report.unwrap_or_else(|| Report::of(&tally, &marks));
    report.end(&tally, args)
}
