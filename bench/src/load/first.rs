//! Asks a server that is starting for one key, again and again, until the answer is right.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::content::key;
use crate::load::args::Args;
use crate::load::report::{Marks, Report};
use crate::load::tally::Tally;
use crate::load::work::Ask;
use crate::wire::{Answer, Broken, Step, Wire};

const LIMIT: Duration = Duration::from_secs(300);
/// Far below what starts are told apart by.
const AGAIN: Duration = Duration::from_millis(1);

pub(super) fn run<W: Wire>(args: &Args) -> Result<Report, Broken> {
    let mut tally = Tally::new(args)?;
    let marks = Marks::now(&args.server_pid);
    let began = Instant::now();
    while let Err(why) = attempt::<W>(args, &mut tally) {
        if began.elapsed() > LIMIT {
            return Err(why);
        }
        thread::sleep(AGAIN);
    }
    Report::of(&tally, &marks).end(&tally, args)
}

/// Fails as long as the server does not listen or refuses since it is loading.
fn attempt<W: Wire>(args: &Args, tally: &mut Tally) -> Result<(), Broken> {
    let mut stream = TcpStream::connect(args.server(0))?;
    stream.set_read_timeout(Some(LIMIT))?;
    let mut wire = W::open(&mut stream)?;
    let asked = Instant::now();
    get(&mut stream, &mut wire, args.first, |answer| match answer {
        Answer::Refused(why) => Err(Broken::protocol(why)),
        answer => {
            tally.judge(Ask::Get(args.first), &answer);
            tally.record(asked, Instant::now(), 1);
            Ok(())
        }
    })
}

/// Reads one key and waits for the answer, which `told` is given.
pub(super) fn get<W: Wire>(
    stream: &mut TcpStream,
    wire: &mut W,
    number: u32,
    told: impl FnOnce(Answer<'_>) -> Result<(), Broken>,
) -> Result<(), Broken> {
    let get = |wire: &mut W, out: &mut Vec<u8>| {
        W::get().write(out, wire.id(1), &key(number), |_| ());
    };
    ask(stream, wire, get, told)
}

/// Sends the one request that `request` appends and waits for the answer, which `told` is given.
pub(super) fn ask<W: Wire>(
    stream: &mut TcpStream,
    wire: &mut W,
    request: impl FnOnce(&mut W, &mut Vec<u8>),
    told: impl FnOnce(Answer<'_>) -> Result<(), Broken>,
) -> Result<(), Broken> {
    let mut out = Vec::new();
    wire.begin(&mut out);
    let before = out.len();
    request(wire, &mut out);
    wire.seal(&mut out[before..]);
    wire.end(&mut out, 0);
    stream.write_all(&out)?;
    let (mut input, mut used) = (Vec::new(), 0);
    loop {
        let mut chunk = [0; 4_096];
        let count = stream.read(&mut chunk)?;
        if count == 0 {
            return Err(Broken::protocol("the server closed the connection"));
        }
        input.extend_from_slice(&chunk[..count]);
        loop {
            match wire.next(&input[used..])? {
                Step::Incomplete => break,
                Step::Skip(bytes) => used += bytes,
                Step::Reply { answer, .. } => return told(answer),
            }
        }
    }
}
