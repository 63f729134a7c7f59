//! The generator: one thread, many connections, every reply checked. `args` are its flags, `closed`
//! and `paced` its two loops, `first` waits for a server that starts, `idle` only holds connections,
//! `probe` watches for outages, `tally` is the verdict.

pub mod args;
mod closed;
mod connection;
mod first;
mod idle;
mod paced;
mod probe;
pub mod process;
mod report;
mod tally;
mod work;

use std::process::ExitCode;

use crate::load::args::{Args, Operation, Protocol};
use crate::load::report::Report;
use crate::wire::etcd::Etcd;
use crate::wire::native::Native;
use crate::wire::numbered::Numbered;
use crate::wire::resp::Resp;
use crate::wire::websocket::WebSocket;
use crate::wire::{Broken, Wire};

/// Does what the flags say, prints one line of JSON; fails when any reply was wrong.
pub fn run(args: &Args) -> ExitCode {
    let result = match args.protocol {
        Protocol::Resp => of::<Resp>(args),
        Protocol::Native => of::<Native>(args),
        Protocol::Numbered => of::<Numbered>(args),
        Protocol::Websocket => of::<WebSocket>(args),
        Protocol::Etcd => of::<Etcd>(args),
    };
    match result {
        Ok(report) => {
            println!("{}", serde_json::to_string(&report).expect("a report is plain data"));
            if report.errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("tidekeep-load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn of<W: Wire>(args: &Args) -> Result<Report, Broken> {
    if let Some(refusal) = args.refusal() {
        return Err(Broken::Refused(refusal));
    }
    match (&args.operation, args.rate) {
        (Operation::Idle, _) => idle::run::<W>(args),
        (Operation::First, _) => first::run::<W>(args),
        (Operation::Probe, _) => probe::run::<W>(args),
        (_, None) => closed::run::<W>(args),
        (_, Some(rate)) => paced::run::<W>(args, rate),
    }
}
