//! The page `/metrics`, in Prometheus' text format.

use std::fmt::{self, Display, Write};
use std::sync::atomic::Ordering;

use tidekeep_log::{Commit, Standing};
use tidekeep_protocol::error::Code;
use tidekeep_protocol::op::OPERATIONS;

use super::histogram::{BOUNDS_US, Histogram};
use super::metrics::{Metrics, Traffic, Transport, TurnedAway};
use crate::session::{Millis, ROWS};

/// The type of the page.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Writes every figure.
pub(crate) fn page(metrics: &Metrics, commit: &dyn Commit, uptime: Millis) -> String {
    let mut page = Page(String::with_capacity(16 << 10));
    // Writing to a string fails only when a value's own formatting does, and numbers' does not.
    let _ = page.server(metrics, uptime);
    let _ = page.requests(metrics);
    let _ = page.store(commit);
    page.0
}

struct Page(String);

impl Page {
    fn server(&mut self, metrics: &Metrics, uptime: Millis) -> fmt::Result {
        self.head("tidekeep_uptime_seconds", "gauge", "Time since the server began.")?;
        let seconds = uptime.0 as f64 / 1000.0;
        self.line("tidekeep_uptime_seconds", "", seconds)?;
        self.transports("connections", "gauge", "Open connections.", metrics, |t| {
            t.open.load(Ordering::Relaxed)
        })?;
        self.transports("connections_total", "counter", "Connections taken.", metrics, |t| {
            t.opened.load(Ordering::Relaxed)
        })?;
        self.transports("received_bytes_total", "counter", "Bytes received.", metrics, |t| {
            t.received_bytes.load(Ordering::Relaxed)
        })?;
        self.transports("sent_bytes_total", "counter", "Bytes sent.", metrics, |t| {
            t.sent_bytes.load(Ordering::Relaxed)
        })?;
        let name = "tidekeep_connections_refused_total";
        self.head(name, "counter", "Connections that were not taken.")?;
        for why in TurnedAway::ALL {
            let count = metrics.count_turned_away(why);
            self.line(name, format_args!("{{reason=\"{}\"}}", why.name()), count)?;
        }
        let name = "tidekeep_connections_failed_total";
        self.head(name, "counter", "Connections ended by an error.")?;
        for code in Code::ALL {
            match metrics.count_ended(*code) {
                0 => {}
                count => self.line(name, format_args!("{{code=\"{}\"}}", code.name()), count)?,
            }
        }
        Ok(())
    }

    fn requests(&mut self, metrics: &Metrics) -> fmt::Result {
        let name = "tidekeep_requests_total";
        self.head(name, "counter", "Requests answered, by operation and result.")?;
        for (place, spec) in OPERATIONS.iter().enumerate() {
            let labels = format_args!("{{op=\"{}\",result=\"ok\"}}", spec.name);
            self.line(name, labels, metrics.count_answered(place))?;
            for code in Code::ALL {
                let count = metrics.count_refused(place, *code);
                if count > 0 {
                    let labels =
                        format_args!("{{op=\"{}\",result=\"{}\"}}", spec.name, code.name());
                    self.line(name, labels, count)?;
                }
            }
        }
        let name = "tidekeep_resp_commands_total";
        self.head(name, "counter", "Commands of Redis clients, by name.")?;
        for (place, row) in ROWS.iter().enumerate() {
            match metrics.resp.count(place) {
                0 => {}
                count => self.line(name, format_args!("{{command=\"{}\"}}", row.name), count)?,
            }
        }
        let help = "Commands of Redis clients that were refused before they ran.";
        self.single("tidekeep_resp_refused_total", "counter", help, metrics.resp.refused())?;
        let gauges = metrics.gauges();
        self.single(
            "tidekeep_requests_waiting",
            "gauge",
            "Requests that wait for the disk.",
            gauges.requests_waiting,
        )?;
        self.histogram(
            "tidekeep_batch_seconds",
            "From the arrival of requests to their answers.",
            &metrics.batch_time,
        )?;
        self.single("tidekeep_watches", "gauge", "Open watches.", gauges.watches)?;
        let count = metrics.watch_messages();
        let help = "Messages with changes sent to watchers.";
        self.single("tidekeep_watch_messages_total", "counter", help, count)?;
        self.histogram(
            "tidekeep_watch_lag_seconds",
            "From the order of a change to the watcher's message.",
            &metrics.watch_lag,
        )
    }

    fn store(&mut self, commit: &dyn Commit) -> fmt::Result {
        let state = match commit.standing() {
            Standing::Ready => 0,
            Standing::ReadOnly(_) => 1,
            Standing::Failed(_) => 2,
        };
        let help = "0: reads and writes, 1: reads only, 2: failed.";
        self.single("tidekeep_store_state", "gauge", help, state)?;
        let mut result = Ok(());
        commit.figures(&mut |name, value| {
            if result.is_ok() {
                result = writeln!(self.0, "# TYPE tidekeep_store_{name} untyped")
                    .and_then(|()| writeln!(self.0, "tidekeep_store_{name} {value}"));
            }
        });
        result
    }

    fn transports(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        metrics: &Metrics,
        value: impl Fn(&Traffic) -> u64,
    ) -> fmt::Result {
        let name = format!("tidekeep_{name}");
        self.head(&name, kind, help)?;
        for transport in Transport::ALL {
            let labels = format_args!("{{transport=\"{}\"}}", transport.name());
            self.line(&name, labels, value(metrics.traffic(transport)))?;
        }
        Ok(())
    }

    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) -> fmt::Result {
        self.head(name, "histogram", help)?;
        let (at_most, count, sum_us) = histogram.read();
        for (bound_us, count) in BOUNDS_US.iter().zip(at_most) {
            let bound = *bound_us as f64 / 1e6;
            writeln!(self.0, "{name}_bucket{{le=\"{bound}\"}} {count}")?;
        }
        writeln!(self.0, "{name}_bucket{{le=\"+Inf\"}} {count}")?;
        writeln!(self.0, "{name}_sum {}", sum_us as f64 / 1e6)?;
        writeln!(self.0, "{name}_count {count}")
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) -> fmt::Result {
        self.head(name, kind, help)?;
        self.line(name, "", value)
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) -> fmt::Result {
        writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}")
    }

    fn line(&mut self, name: &str, labels: impl Display, value: impl Display) -> fmt::Result {
        writeln!(self.0, "{name}{labels} {value}")
    }
}
