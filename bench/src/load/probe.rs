//! Small writes at a steady pace to each of several servers, any of which may be killed: which were
//! acknowledged, and when. Each write has a connection of its own, so that one that hangs holds up none
//! behind it, and none is sent twice. Runs until standard input ends.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::content::key;
use crate::load::args::Args;
use crate::load::report::{Marks, Report};
use crate::load::tally::Tally;
use crate::load::{first, idle};
use crate::wire::{Answer, Broken, Wire};

/// Between two writes to one server: what an outage is told apart by.
const PACE: Duration = Duration::from_millis(20);
/// A write that takes longer is given up with its connection.
const PATIENCE: Duration = Duration::from_secs(1);
/// Twice as many as can hang at once.
const WRITERS: u32 = 2 * (PATIENCE.as_millis() / PACE.as_millis()) as u32;
/// How long a server that is there takes to accept.
const CONNECT_LIMIT: Duration = Duration::from_millis(200);

/// Prints `sent acknowledged` for each acknowledged write, in microseconds since the Unix epoch.
pub(super) fn run<W: Wire>(args: &Args) -> Result<Report, Broken> {
    let marks = Marks::now(&args.server_pid);
    let tally = Tally::new(args)?;
    let (ended, start) = (AtomicBool::new(false), Instant::now());
    let turns: Vec<AtomicU32> = args.address.iter().map(|_| AtomicU32::new(0)).collect();
    thread::scope(|scope| {
        for (server, turns) in args.address.iter().zip(&turns) {
            for _ in 0..WRITERS {
                let (ended, values) = (&ended, &tally.values);
                let value = move |number: u32| {
                    let mut out = Vec::new();
                    values.write(&mut out, &key(number), number, args.generation);
                    out
                };
                scope.spawn(move || {
                    write_until::<W>(ended, *server, args, value, || {
                        let turn = turns.fetch_add(1, Ordering::Relaxed);
                        (turn, start + PACE * turn)
                    });
                });
            }
        }
        // Nothing is ever sent: the end alone is waited for.
        let _ = idle::standard_input_ends().recv();
        ended.store(true, Ordering::Relaxed);
    });
    Report::of(&tally, &marks).end(&tally, args)
}

/// One writer: takes the server's next turn, waits until it is due, writes.
fn write_until<W: Wire>(
    ended: &AtomicBool,
    server: SocketAddr,
    args: &Args,
    value: impl Fn(u32) -> Vec<u8>,
    next_turn: impl Fn() -> (u32, Instant),
) {
    let mut connection = None;
    while !ended.load(Ordering::Relaxed) {
        let (turn, due) = next_turn();
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let number = args.first + turn % args.keys;
        let sent = micros();
        let written = match connection.take() {
            Some(open) => Ok(open),
            None => open::<W>(server),
        }
        .and_then(|mut open| put(&mut open, args, number, &value(number)).map(|()| open));
        // A server that is down, does not lead or hangs is what this is to see: it is asked again.
        if let Ok(open) = written {
            let _ = writeln!(std::io::stdout().lock(), "{sent} {}", micros());
            connection = Some(open);
        }
    }
}

type Open<W> = (TcpStream, W);

fn open<W: Wire>(server: SocketAddr) -> Result<Open<W>, Broken> {
    let mut stream = TcpStream::connect_timeout(&server, CONNECT_LIMIT)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let wire = W::open(&mut stream)?;
    Ok((stream, wire))
}

fn put<W: Wire>(open: &mut Open<W>, args: &Args, number: u32, value: &[u8]) -> Result<(), Broken> {
    let (stream, wire) = open;
    let set = W::set(args.shape());
    let request = |wire: &mut W, out: &mut Vec<u8>| {
        set.write(out, wire.id(1), &key(number), |out| out.extend_from_slice(value));
    };
    first::ask(stream, wire, request, |answer| match answer {
        Answer::Written => Ok(()),
        answer => Err(Broken::protocol(format!("{answer:?}"))),
    })
}

fn micros() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros()
}
