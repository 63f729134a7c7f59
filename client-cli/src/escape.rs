//! Bytes as text that a terminal can show and a person can type back: printable UTF-8 stands for
//! itself, everything else becomes `\n`, `\t`, `\xNN`. `unescape(escape(bytes)) == bytes` always.

use std::fmt::Write as _;

/// One line of text for any bytes. Control characters, bytes that are no UTF-8 and characters that
/// reorder a terminal's line are escaped, and so is the backslash.
pub(crate) fn escape(bytes: &[u8]) -> String {
    write(bytes, Style::Line)
}

/// Like [`escape`], for showing a whole value on a terminal: line ends, tabs and backslashes stay.
pub(crate) fn safe_text(bytes: &[u8]) -> String {
    write(bytes, Style::Text)
}

/// Reads what [`escape`] wrote. A backslash before a character that needs none (space, quotes, `#`)
/// gives that character.
pub(crate) fn unescape(text: &[u8]) -> Result<Vec<u8>, BadEscape> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, tail)) = rest.split_first() {
        if first == b'\\' {
            let (byte, used) = escaped(tail)?;
            bytes.push(byte);
            rest = tail.get(used..).unwrap_or_default();
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    Ok(bytes)
}

/// Reads one escape, the backslash already taken: the byte it stands for, and how many bytes of
/// `text` it took.
pub(crate) fn escaped(text: &[u8]) -> Result<(u8, usize), BadEscape> {
    match text {
        [] => Err(BadEscape::Unfinished),
        [b'n', ..] => Ok((b'\n', 1)),
        [b't', ..] => Ok((b'\t', 1)),
        [b'r', ..] => Ok((b'\r', 1)),
        [b'0', ..] => Ok((0, 1)),
        [b'x', high, low, ..] => match (hex(*high), hex(*low)) {
            (Some(high), Some(low)) => Ok((high << 4 | low, 3)),
            _ => Err(BadEscape::Hex),
        },
        [b'x', ..] => Err(BadEscape::Hex),
        [letter, ..] if letter.is_ascii_alphanumeric() => Err(BadEscape::Unknown(*letter as char)),
        [byte, ..] => Ok((*byte, 1)),
    }
}

/// A backslash that begins nothing known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadEscape {
    /// The text ends behind the backslash.
    #[error("a single \\ at the end; write \\\\ for a backslash")]
    Unfinished,
    /// Not two hexadecimal digits behind `\x`.
    #[error("\\x is followed by two hexadecimal digits, as in \\x0a")]
    Hex,
    /// A letter that means nothing.
    #[error("\\{0} means nothing; known are \\n \\t \\r \\0 \\xNN \\\\")]
    Unknown(char),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Line,
    Text,
}

fn write(bytes: &[u8], style: Style) -> String {
    let mut text = String::with_capacity(bytes.len() + 2);
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            write_char(character, style, &mut text);
        }
        write_hex(chunk.invalid(), &mut text);
    }
    text
}

fn write_char(character: char, style: Style, text: &mut String) {
    match character {
        '\n' | '\t' | '\\' if style == Style::Text => text.push(character),
        '\\' => text.push_str("\\\\"),
        '\n' => text.push_str("\\n"),
        '\t' => text.push_str("\\t"),
        '\r' => text.push_str("\\r"),
        _ if character.is_control() || reorders(character) => {
            write_hex(character.encode_utf8(&mut [0; 4]).as_bytes(), text);
        }
        _ => text.push(character),
    }
}

/// Characters without a shape of their own that change how the characters around them are shown,
/// so that one key could pass for another.
fn reorders(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        | '\u{feff}')
}

fn write_hex(bytes: &[u8], text: &mut String) {
    for byte in bytes {
        let _ = write!(text, "\\x{byte:02x}");
    }
}

fn hex(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_a_terminal_can_show_stands_for_itself() {
        assert_eq!(escape("größe/日本 \"x\"".as_bytes()), "größe/日本 \"x\"");
    }

    #[test]
    fn nothing_that_moves_a_terminals_cursor_gets_through() {
        assert_eq!(escape(b"a\x1b[2Jb\xff\n\t\\"), "a\\x1b[2Jb\\xff\\n\\t\\\\");
        assert_eq!(escape("a\u{202e}b".as_bytes()), "a\\xe2\\x80\\xaeb");
        assert_eq!(safe_text(b"a\\\n\t\x1b\x07\xff"), "a\\\n\t\\x1b\\x07\\xff");
    }

    #[test]
    fn what_was_escaped_reads_back_as_the_same_bytes() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(unescape(escape(&all).as_bytes()).unwrap(), all);
        let tricky = "\u{202e}\u{feff}\\x00é\u{80}".as_bytes();
        assert_eq!(unescape(escape(tricky).as_bytes()).unwrap(), tricky);
    }

    #[test]
    fn an_escape_that_means_nothing_is_refused() {
        assert_eq!(unescape(b"a\\"), Err(BadEscape::Unfinished));
        assert_eq!(unescape(b"\\xg0"), Err(BadEscape::Hex));
        assert_eq!(unescape(b"\\x1"), Err(BadEscape::Hex));
        assert_eq!(unescape(b"\\q"), Err(BadEscape::Unknown('q')));
        assert_eq!(unescape(b"\\ \\#\\\"").unwrap(), b" #\"");
    }
}
