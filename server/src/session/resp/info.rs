//! `INFO`: what the server says of itself, in Redis' sections and with its names where the figures
//! mean the same.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::Ordering;

use super::args::Args;
use super::commands::ROWS;
use super::encode::Encoder;
use super::fail::Fail;
use super::house::House;
use crate::observe::Transport;

/// The sections, and which of them are told to who names none.
const SECTIONS: [(&str, bool); 9] = [
    ("server", true),
    ("clients", true),
    ("memory", true),
    ("persistence", true),
    ("stats", true),
    ("replication", true),
    ("cpu", false),
    ("commandstats", false),
    ("keyspace", true),
];

/// Runs `INFO [section …]`.
pub(super) fn run(args: Args<'_, '_>, house: &House<'_>, to: &mut Encoder<'_>) -> Result<(), Fail> {
    let wanted = |name: &str, usual: bool| {
        (args.len() == 1 && usual)
            || (1..args.len()).any(|at| {
                args.is(at, name)
                    || args.is(at, "all")
                    || args.is(at, "everything")
                    || args.is(at, "default") && usual
            })
    };
    let mut figures = BTreeMap::new();
    house.commit.figures(&mut |name, value| {
        figures.insert(name, value);
    });
    let mut page = Page { text: String::new(), figures, house };
    for (name, usual) in SECTIONS {
        if wanted(name, usual) {
            // Writing to a string does not fail.
            let _ = page.section(name);
        }
    }
    to.verbatim(&page.text);
    Ok(())
}

struct Page<'a> {
    text: String,
    figures: BTreeMap<&'static str, u64>,
    house: &'a House<'a>,
}

impl Page<'_> {
    fn figure(&self, name: &str) -> u64 {
        self.figures.get(name).copied().unwrap_or(0)
    }

    fn section(&mut self, name: &str) -> std::fmt::Result {
        if !self.text.is_empty() {
            self.text.push_str("\r\n");
        }
        let (first, rest) = name.split_at(1);
        write!(self.text, "# {}{rest}\r\n", first.to_ascii_uppercase())?;
        match name {
            "server" => self.server(),
            "clients" => self.clients(),
            "memory" => self.memory(),
            "persistence" => self.persistence(),
            "stats" => self.stats(),
            "replication" => {
                self.line("role", "master")?;
                self.line("connected_slaves", 0)?;
                self.line("master_repl_offset", self.figure("revision"))
            }
            "commandstats" => self.commands(),
            "keyspace" => match self.figure("keys") {
                0 => Ok(()),
                keys => {
                    let ending = self.figure("keys_ending");
                    // Nobody reckons a mean of what is left; Redis says 0 as long as it has none.
                    write!(self.text, "db0:keys={keys},expires={ending},avg_ttl=0\r\n")
                }
            },
            _ => Ok(()),
        }
    }

    fn line(&mut self, name: &str, value: impl std::fmt::Display) -> std::fmt::Result {
        write!(self.text, "{name}:{value}\r\n")
    }

    fn server(&mut self) -> std::fmt::Result {
        let facts = self.house.facts;
        let uptime_s = self.house.now.0 / 1000;
        self.line("redis_version", facts.redis_version)?;
        self.line("redis_mode", "standalone")?;
        self.line("tidekeep_version", env!("CARGO_PKG_VERSION"))?;
        self.line("os", std::env::consts::OS)?;
        self.line("arch_bits", usize::BITS)?;
        self.line("process_id", std::process::id())?;
        self.line("run_id", &facts.run_id)?;
        self.line("tcp_port", facts.port)?;
        self.line("server_time_usec", self.house.unix_us)?;
        self.line("uptime_in_seconds", uptime_s)?;
        self.line("uptime_in_days", uptime_s / 86_400)
    }

    fn clients(&mut self) -> std::fmt::Result {
        let open = self.house.metrics.traffic(Transport::Resp).open.load(Ordering::Relaxed);
        self.line("connected_clients", open)?;
        self.line("maxclients", self.house.facts.max_connections)?;
        let subscribers = self.house.clients.subscribers();
        self.line("pubsub_clients", subscribers)?;
        self.line("blocked_clients", 0)
    }

    fn memory(&mut self) -> std::fmt::Result {
        let used = self.figure("memory_bytes");
        self.line("used_memory", used)?;
        self.line("used_memory_human", human(used))?;
        self.line("used_memory_dataset", self.figure("memory_entries_bytes"))?;
        let most = self.house.facts.memory_limit_bytes;
        self.line("maxmemory", most)?;
        self.line("maxmemory_human", human(most))?;
        self.line("maxmemory_policy", self.house.facts.eviction)
    }

    fn persistence(&mut self) -> std::fmt::Result {
        self.line("loading", 0)?;
        let failed = u64::from(self.figure("snapshots_failed") > 0);
        self.line("rdb_last_bgsave_status", if failed == 0 { "ok" } else { "err" })?;
        self.line("aof_enabled", u8::from(self.house.facts.durability != "memory"))?;
        let full = self.figure("log_full");
        self.line("aof_last_write_status", if full == 0 { "ok" } else { "err" })?;
        self.line("tidekeep_durability", self.house.facts.durability)?;
        self.line("tidekeep_log_bytes", self.figure("log_bytes"))?;
        self.line("tidekeep_log_syncs", self.figure("log_syncs"))?;
        self.line("tidekeep_snapshots", self.figure("snapshots"))
    }

    fn stats(&mut self) -> std::fmt::Result {
        let traffic = self.house.metrics.traffic(Transport::Resp);
        let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        self.line("total_connections_received", load(&traffic.opened))?;
        self.line("total_commands_processed", self.house.metrics.resp.total())?;
        self.line("total_net_input_bytes", load(&traffic.received_bytes))?;
        self.line("total_net_output_bytes", load(&traffic.sent_bytes))?;
        self.line("total_error_replies", self.house.metrics.resp.refused())?;
        self.line("expired_keys", self.figure("expired"))?;
        self.line("evicted_keys", self.figure("evicted"))
    }

    fn commands(&mut self) -> std::fmt::Result {
        for (number, row) in ROWS.iter().enumerate() {
            let calls = self.house.metrics.resp.count(number);
            if calls > 0 {
                write!(self.text, "cmdstat_{}:calls={calls}\r\n", row.name)?;
            }
        }
        Ok(())
    }
}

fn human(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "K", "M", "G"] {
        if value < 1024.0 {
            return if unit == "B" { format!("{bytes}B") } else { format!("{value:.2}{unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.2}T")
}
