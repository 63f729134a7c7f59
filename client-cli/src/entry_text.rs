//! Values and entries as people see them: exact bytes for programs, safe text on a terminal.

use serde::Serialize;
use tidekeep_client::Error;
use tidekeep_protocol::error::Code;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::escape::{escape, safe_text};
use crate::failure::Failure;
use crate::json::EntryJson;
use crate::output::{Format, Out};
use crate::time::{now_ms, short};

/// Prints a value alone: its exact bytes, or, on a terminal, text that cannot do harm there and
/// ends its line.
pub(crate) fn print_value(out: &mut Out, value: &[u8]) -> Result<(), Failure> {
    if out.format() == Format::Raw || !out.terminal() {
        return out.bytes(value);
    }
    let text = safe_text(value);
    out.bytes(text.as_bytes())?;
    if text.ends_with('\n') { Ok(()) } else { out.bytes(b"\n") }
}

/// How long an entry still lives, as in `expires in 9.3 s`.
pub(crate) fn lifetime(expires_at: Option<u64>) -> Option<String> {
    let left_ms = expires_at?.saturating_sub(now_ms());
    let left = std::time::Duration::from_millis(left_ms);
    Some(match left.as_secs() {
        0..60 => format!("expires in {}", short(left)),
        seconds => format!(
            "expires in {}",
            humantime::format_duration(std::time::Duration::from_secs(seconds))
        ),
    })
}

/// The start of a text that fits into so many columns, with a mark where it was cut.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut start = String::new();
    let mut left = columns.saturating_sub(1);
    for character in text.chars() {
        match left.checked_sub(character.width().unwrap_or_default()) {
            Some(rest) => left = rest,
            None => break,
        }
        start.push(character);
    }
    start.push('…');
    start
}

/// Tells that a write's condition did not hold, and in JSON what stood in its way.
pub(crate) fn condition_failed(out: &mut Out, key: &[u8], error: &Error) -> Failure {
    #[derive(Serialize)]
    struct Refused<'a> {
        applied: bool,
        current: Option<EntryJson<'a>>,
    }
    if out.format() == Format::Json {
        let current = error.current().map(EntryJson::full);
        if let Err(failure) = out.json(&Refused { applied: false, current }) {
            return failure;
        }
    }
    let key = escape(key);
    match error.current() {
        None => Failure::new(Code::Conflict, format!("there is no key \"{key}\" to change"))
            .hint("leave the condition out, or create the key with --if-absent"),
        Some(entry) => {
            let revision = entry.modified;
            let message =
                format!("the condition does not hold: \"{key}\" is at revision {revision}");
            Failure::new(Code::Conflict, message)
                .hint("read the key again with `get --output json` and decide on what it is now")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn a_text_is_cut_to_the_columns_it_fills() {
        assert_eq!(cut("short", 5), "short");
        assert_eq!(cut("longer", 5), "long…");
        assert_eq!(cut("日本語", 6), "日本語");
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(cut("x", 0), "…");
    }
}
