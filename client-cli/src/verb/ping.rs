//! `ping`: how long the way to the server and back takes.

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Format;
use crate::session::{Session, until_interrupted};
use crate::time::{duration, short};

const EXAMPLES: &str = "\
Examples:
  tidekeep ping                          five round trips
  tidekeep ping -c 100 --interval 10ms   a hundred of them, quickly
  tidekeep ping -c 1 -o json             is it there? (exit code 5 if not)";

/// Measure the round trip to the server
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PingArgs {
    /// How many round trips
    #[arg(long, short, value_name = "N", default_value_t = 5)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: u32,
    /// How long to wait between two of them
    #[arg(long, value_name = "DURATION", default_value = "200ms", value_parser = duration)]
    interval: Duration,
}

#[derive(Serialize)]
struct Summary {
    count: usize,
    min_ms: f64,
    avg_ms: f64,
    max_ms: f64,
}

/// Runs the verb.
pub(crate) async fn run(args: PingArgs, session: &mut Session) -> Result<Exit, Failure> {
    let client = session.client().await?;
    let mut trips = Vec::new();
    for number in 1..=args.count {
        let trip = client.ping().await?;
        trips.push(trip);
        if session.out().format() == Format::Text {
            session.out().line(format_args!("{number}: {}", short(trip)))?;
            session.out().flush()?;
        }
        let pause = tokio::time::sleep(args.interval);
        if number < args.count && until_interrupted(pause).await.is_none() {
            break;
        }
    }
    print(session, &trips)?;
    Ok(Exit::Done)
}

fn print(session: &mut Session, trips: &[Duration]) -> Result<(), Failure> {
    let count = trips.len();
    let total: Duration = trips.iter().sum();
    let min = trips.iter().min().copied().unwrap_or_default();
    let max = trips.iter().max().copied().unwrap_or_default();
    let average = total / u32::try_from(count.max(1)).unwrap_or(u32::MAX);
    let out = session.out();
    if out.format() == Format::Json {
        let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
        let (min_ms, avg_ms, max_ms) = (ms(min), ms(average), ms(max));
        return out.json(&Summary { count, min_ms, avg_ms, max_ms });
    }
    let (min, average, max) = (short(min), short(average), short(max));
    out.line(format_args!("min {min}, avg {average}, max {max}"))
}
