//! The server's flags, a line each, and origins.

use clap::Parser;
use tidekeep_server::config::args::Args;
use tidekeep_server::config::{Config, Origin};

/// Flags take values; a variable behind a flag goes through the same parser as the flag.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for line in text.lines() {
        match line.parse::<Origin>() {
            Ok(origin) => assert!(!format!("{origin:?}").is_empty()),
            Err(not) => assert!(!not.to_string().is_empty()),
        }
    }
    let words = ["tidekeep-server"].into_iter().chain(text.lines());
    let args = match Args::try_parse_from(words) {
        Ok(args) => args,
        Err(error) => return assert!(!error.render().to_string().is_empty()),
    };
    match Config::resolve(args) {
        Err(error) => {
            let error = error.to_string();
            assert!(error.contains("--"), "it names a flag: {error}");
        }
        Ok(config) => sound(&config),
    }
}

/// What the rest of the server relies on without asking again.
fn sound(config: &Config) {
    let limits = &config.limits;
    let entry = u64::from(limits.key_bytes) + u64::from(limits.value_bytes);
    assert!(limits.key_bytes > 0 && entry < u64::from(limits.frame_bytes));
    assert!(u64::from(limits.frame_bytes) < config.segment_bytes);
    assert!(u64::from(limits.reply_bytes) > entry);
    assert!(config.output_bytes >= limits.chunk_bytes as usize);
    assert!(config.heartbeat_ms > 0 && config.handshake_ms > 0 && config.max_connections > 0);
}
