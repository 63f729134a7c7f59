//! Files that people import.

/// The first byte chooses the longest line, the rest is the file.
pub fn run(data: &[u8]) {
    let Some((&longest, text)) = data.split_first() else { return };
    tidekeep_cli::fuzzing::import(text, if longest == 0 { 1 << 20 } else { longest.into() });
}
