//! Transactions that people write.

/// The first byte says whether escapes are read, the rest is the text.
pub fn run(data: &[u8]) {
    let Some((&flags, text)) = data.split_first() else { return };
    tidekeep_cli::fuzzing::transaction(text, flags & 1 == 1);
}
