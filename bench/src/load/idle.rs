//! Connections that only are there: each has asked once, and answers pings from then on.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};

use crate::load::args::Args;
use crate::load::first;
use crate::load::report::{Marks, Report};
use crate::load::tally::Tally;
use crate::wire::{Broken, Step, Wire};

const TURN: Duration = Duration::from_millis(100);

pub(super) fn run<W: Wire>(args: &Args) -> Result<Report, Broken> {
    let marks = Marks::now(&args.server_pid);
    // A connection is an open file; what the system allows beyond its default is enough or refused.
    rlimit::increase_nofile_limit(u64::MAX)?;
    let mut poll = Poll::new()?;
    let mut connections = Vec::new();
    for number in 0..args.connections {
        let mut stream = TcpStream::connect(args.server(number))?;
        let mut wire = W::open(&mut stream)?;
        // One that never asked anything would have no buffers yet.
        first::get(&mut stream, &mut wire, args.first, |_| Ok(()))?;
        stream.set_nonblocking(true)?;
        let mut stream = mio::net::TcpStream::from_std(stream);
        let token = Token(number as usize);
        poll.registry().register(&mut stream, token, Interest::READABLE)?;
        connections.push((stream, wire));
    }
    println!("holding {}", connections.len());
    let ended = standard_input_ends();
    let mut events = Events::with_capacity(1_024);
    while matches!(ended.try_recv(), Err(mpsc::TryRecvError::Empty)) {
        poll.poll(&mut events, Some(TURN))?;
        for event in &events {
            let (stream, wire) = &mut connections[event.token().0];
            answer(stream, wire)?;
        }
    }
    let tally = Tally::new(args)?;
    Report::of(&tally, &marks).end(&tally, args)
}

/// Answers what asks whether somebody is there.
fn answer<W: Wire>(stream: &mut mio::net::TcpStream, wire: &mut W) -> Result<(), Broken> {
    let mut input = [0; 1_024];
    loop {
        let count = match stream.read(&mut input) {
            Ok(0) => return Err(Broken::protocol("the server closed an idle connection")),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let (mut rest, mut out) = (&input[..count], Vec::new());
        while !rest.is_empty() {
            wire.pong(rest, &mut out);
            match wire.next(rest)? {
                Step::Skip(bytes) => rest = &rest[bytes..],
                other => return Err(Broken::protocol(format!("{other:?} while idle"))),
            }
        }
        stream.write_all(&out)?;
    }
}

/// Sends when whoever started this has closed its end.
pub(super) fn standard_input_ends() -> mpsc::Receiver<()> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        // What comes before the end says nothing, and an error is an end.
        drop(io::copy(&mut io::stdin().lock(), &mut io::sink()));
        let _ = sender.send(());
    });
    receiver
}
