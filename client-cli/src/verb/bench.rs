//! `bench`: how much the server does, and how long a request takes meanwhile.

use std::num::{NonZeroU64, NonZeroUsize};
use std::time::Duration;

use clap::{Args, ValueEnum};
use tidekeep_client::KeyRange;

use crate::bench::{self, Plan};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::note;
use crate::session::Session;

const EXAMPLES: &str = "\
Examples:
  tidekeep bench                                       gets and puts for five seconds
  tidekeep bench --op put -c 64 --pipeline 1           64 clients that wait for each reply
  tidekeep bench --op get -c 2 --pipeline 256          how much two connections carry
  tidekeep bench --transport ws -o json                through WebSocket, for a program

Works below tidekeep-bench/ and a random name, and removes what it put there. Reads find every key:
they are stored before the measurement begins.";

/// Measure throughput and latency
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct BenchArgs {
    /// What to ask for: get, put or mixed
    #[arg(long, value_name = "OP", default_value = "mixed", hide_possible_values = true)]
    op: Op,
    /// How many of a hundred requests are puts, for `mixed`
    #[arg(long, value_name = "PERCENT", default_value_t = 20)]
    #[arg(value_parser = clap::value_parser!(u8).range(0..=100))]
    puts: u8,
    /// Connections
    #[arg(long, short, value_name = "N", default_value = "8")]
    connections: NonZeroUsize,
    /// Requests under way on each connection
    #[arg(long, short, value_name = "N", default_value = "16")]
    pipeline: NonZeroUsize,
    /// Size of each value
    #[arg(long, value_name = "BYTES", default_value_t = 100)]
    value_bytes: usize,
    /// How many different keys
    #[arg(long, value_name = "N", default_value = "10000")]
    keys: NonZeroU64,
    /// How long to measure
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0, value_parser = seconds)]
    seconds: f64,
    /// How long the connections take to join in, before the measurement
    #[arg(long, value_name = "SECONDS", default_value_t = 0.5, value_parser = seconds)]
    ramp_up: f64,
    /// Threads that make the load [default: one for each core, at most one a connection]
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// How to connect: tcp or ws [default: as the server's address says]
    #[arg(long, value_name = "TRANSPORT", hide_possible_values = true)]
    transport: Option<Transport>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Op {
    /// Reads
    Get,
    /// Writes
    Put,
    /// Both
    Mixed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Transport {
    /// Native frames over TCP
    Tcp,
    /// The same frames in WebSocket messages
    Ws,
}

/// Runs the verb.
pub(crate) async fn run(args: BenchArgs, session: &mut Session) -> Result<Exit, Failure> {
    let plan = plan(&args, session)?;
    let name = match args.op {
        Op::Get => "get",
        Op::Put => "put",
        Op::Mixed => "mixed",
    };
    // Fails at once, with a hint, where there is no server.
    let client = session.client().await?;
    let result = bench::run(&plan).await;
    let cleaned = client.delete_range(&KeyRange::prefix(plan.prefix.as_bytes())).await;
    if let Err(error) = cleaned {
        let prefix = &plan.prefix;
        note(format_args!("keys below {prefix} could not be removed: {}", error.message()));
    }
    let (measured, window) = result?;
    bench::report::print(name, &plan, &measured, window, session.out())?;
    session.out().flush()?;
    match measured.error {
        Some(error) => Err(Failure::from(error).at("the first failure")),
        None => Ok(Exit::Done),
    }
}

fn plan(args: &BenchArgs, session: &Session) -> Result<Plan, Failure> {
    let connections = args.connections.get();
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let threads = args.threads.map_or(cores, NonZeroUsize::get).min(connections);
    Ok(Plan {
        url: address(session.address()?, args.transport),
        timeout: session.global().timeout,
        puts_percent: match args.op {
            Op::Get => 0,
            Op::Put => 100,
            Op::Mixed => args.puts,
        },
        connections,
        pipeline: args.pipeline.get(),
        value_bytes: args.value_bytes,
        keys: args.keys.get(),
        prefix: format!("tidekeep-bench/{:08x}/", fastrand::u32(..)),
        ramp_up: Duration::from_secs_f64(args.ramp_up),
        seconds: Duration::from_secs_f64(args.seconds),
        threads,
    })
}

/// The same server by the transport that was asked for.
fn address(url: String, transport: Option<Transport>) -> String {
    let Some(transport) = transport else { return url };
    let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
    let server = rest.split('/').next().unwrap_or(rest);
    match transport {
        Transport::Tcp => format!("tcp://{server}"),
        Transport::Ws => format!("ws://{server}/ws"),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.0..=86_400.0).contains(&seconds) => Ok(seconds),
        _ => Err("write seconds as a number, at most 86400".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transport_changes_and_the_server_stays() {
        let ws = Some(Transport::Ws);
        assert_eq!(address("h:1".into(), ws), "ws://h:1/ws");
        assert_eq!(address("tcp://h:1".into(), ws), "ws://h:1/ws");
        assert_eq!(address("ws://h:1/ws".into(), Some(Transport::Tcp)), "tcp://h:1");
        assert_eq!(address("http://h:1".into(), None), "http://h:1");
    }
}
