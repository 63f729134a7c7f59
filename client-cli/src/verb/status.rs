//! `status`: what the server says of itself.

use clap::Args;
use serde::ser::{Serialize, SerializeMap, Serializer};
use tidekeep_client::Status;

use crate::escape::escape;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Format, Out};
use crate::session::Session;

const EXAMPLES: &str = "\
Examples:
  tidekeep status                              a table
  tidekeep status -o json | jq .figures.keys   one figure";

/// Show the server's figures
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct StatusArgs {}

/// Runs the verb.
pub(crate) async fn run(_: StatusArgs, session: &mut Session) -> Result<Exit, Failure> {
    let address = session.address()?;
    let status = session.client().await?.status().await?;
    let out = session.out();
    match out.format() {
        Format::Json => out.json(&StatusJson(&status))?,
        Format::Raw => {
            for (name, value) in &status.figures {
                out.line(format_args!("{} {value}", escape(name.as_bytes())))?;
            }
        }
        Format::Text => table(out, &address, &status)?,
    }
    Ok(Exit::Done)
}

fn table(out: &mut Out, address: &str, status: &Status) -> Result<(), Failure> {
    let mut rows = vec![
        ("server".to_owned(), address.to_owned()),
        ("software".to_owned(), escape(status.software.as_bytes())),
        ("durability".to_owned(), escape(status.durability.as_bytes())),
    ];
    rows.extend(status.figures.iter().map(|(name, value)| {
        let (name, value) = readable(name, *value);
        (escape(name.as_bytes()), value)
    }));
    let column = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    for (name, value) in rows {
        let name = out.paint(anstyle::AnsiColor::Cyan.on_default(), format_args!("{name:column$}"));
        out.line(format_args!("{name}  {value}"))?;
    }
    Ok(())
}

/// A figure as people read it. Its unit, the end of its name, moves to the number.
fn readable(name: &str, value: u64) -> (&str, String) {
    if let Some(name) = name.strip_suffix("_bytes") {
        return (name, indicatif::BinaryBytes(value).to_string());
    }
    if let Some(name) = name.strip_suffix("_ms") {
        let whole = if value < 10_000 { value } else { value / 1000 * 1000 };
        let duration = std::time::Duration::from_millis(whole);
        return (name, humantime::format_duration(duration).to_string());
    }
    if let Some(name) = name.strip_suffix("_us") {
        return (name, crate::time::short(std::time::Duration::from_micros(value)));
    }
    (name, indicatif::HumanCount(value).to_string())
}

/// `{"software": …, "durability": …, "figures": {"keys": 3, …}}`
struct StatusJson<'a>(&'a Status);

impl Serialize for StatusJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("software", &self.0.software)?;
        map.serialize_entry("durability", &self.0.durability)?;
        map.serialize_entry("figures", &Figures(&self.0.figures))?;
        map.end()
    }
}

struct Figures<'a>(&'a [(String, u64)]);

impl Serialize for Figures<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::readable;

    #[test]
    fn figures_are_shown_with_their_units() {
        assert_eq!(readable("keys", 60_000), ("keys", "60,000".into()));
        assert_eq!(readable("log_bytes", 3 << 20), ("log", "3.00 MiB".into()));
        assert_eq!(readable("uptime_ms", 3_661_234), ("uptime", "1h 1m 1s".into()));
        assert_eq!(readable("uptime_ms", 1_234), ("uptime", "1s 234ms".into()));
    }
}
