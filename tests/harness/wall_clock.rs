//! The time of day as one process sees it, set while it runs: libfaketime answers in the system's
//! place. Every other clock stays true, as it does where an operator or NTP sets the machine's.

use std::env::consts::ARCH;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A clock that is off by as much as was set last.
#[derive(Debug, Clone)]
pub struct WallClock(PathBuf);

impl WallClock {
    /// A clock that is right, and keeps what was set in the file `name` of a folder.
    pub fn right(folder: &Path, name: &str) -> Self {
        let this = Self(folder.join(name));
        this.set(0);
        this
    }

    /// Sets it so many seconds ahead of the machine's, or behind.
    pub fn set(&self, seconds: i64) {
        // It is read whenever a process asks for the time, so it is never there in part.
        let new = self.0.with_extension("new");
        fs::write(&new, format!("{seconds:+}\n")).expect("there is room for a number");
        fs::rename(&new, &self.0).expect("the file can be replaced");
    }

    /// Makes it the clock of a program to be started.
    pub(crate) fn give(&self, command: &mut Command) {
        let library = format!("/usr/lib/{ARCH}-linux-gnu/faketime/libfaketimeMT.so.1");
        // The loader only warns of one that is missing, and the clock would never be set.
        let there = Path::new(&library).is_file();
        assert!(there, "no {library}: this test needs it (apt-get install faketime)");
        command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", &self.0);
        command.env("FAKETIME_NO_CACHE", "1").env("NO_FAKE_STAT", "1");
        command.env("DONT_FAKE_MONOTONIC", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    }
}
