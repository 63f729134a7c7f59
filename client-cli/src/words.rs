//! A line cut into words, for the shell and for the language of `txn`. Bare and "double quoted"
//! words read the escapes that `list` prints, 'single quoted' ones are taken as they stand, `#`
//! begins a comment.

use crate::escape::{BadEscape, escaped};

/// Cuts `line` into its words.
pub(crate) fn split(line: &[u8]) -> Result<Vec<Vec<u8>>, BadWord> {
    let mut splitter = Splitter::new(line);
    let mut words = Vec::new();
    while let Some(start) = splitter.skip_space() {
        match splitter.word() {
            Ok(word) => words.push(word),
            Err(Broken::Open(_)) => return Err(BadWord::Open { column: start + 1 }),
            Err(Broken::Escape(why)) => {
                return Err(BadWord::Escape { column: splitter.at + 1, why });
            }
        }
    }
    Ok(words)
}

/// A line up to the cursor, as completion sees it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Typing {
    /// The words before the one at the cursor.
    pub(crate) before: Vec<Vec<u8>>,
    /// Where the word at the cursor begins in the line.
    pub(crate) start: usize,
    /// What is there of it, quotes and escapes resolved.
    pub(crate) typed: Vec<u8>,
}

/// Reads `line` as something still being typed; nothing in it is an error.
pub(crate) fn typing(line: &[u8]) -> Typing {
    let mut splitter = Splitter::new(line);
    let mut before = Vec::new();
    while let Some(start) = splitter.skip_space() {
        match splitter.word() {
            Ok(word) if splitter.at < line.len() => before.push(word),
            Ok(typed) | Err(Broken::Open(typed)) => return Typing { before, start, typed },
            Err(Broken::Escape(_)) => break,
        }
    }
    Typing { before, start: line.len(), typed: Vec::new() }
}

/// A word as it can be typed: bare where that is enough, else in double quotes.
pub(crate) fn quote(word: &[u8]) -> String {
    let text = crate::escape::escape(word);
    let special = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '#');
    if text.is_empty() || text.contains(special) {
        return format!("\"{}\"", text.replace('"', "\\\""));
    }
    text
}

/// Why a line has no words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadWord {
    /// A quote that is not closed.
    #[error("column {column}: the quote is not closed")]
    Open {
        /// Where the word begins, counted in bytes from 1.
        column: usize,
    },
    /// A backslash that begins nothing known.
    #[error("column {column}: {why}")]
    Escape {
        /// Where the escape is, counted in bytes from 1.
        column: usize,
        /// What is wrong with it.
        why: BadEscape,
    },
}

enum Broken {
    Open(Vec<u8>),
    Escape(BadEscape),
}

struct Splitter<'a> {
    line: &'a [u8],
    at: usize,
}

impl<'a> Splitter<'a> {
    fn new(line: &'a [u8]) -> Self {
        Self { line, at: 0 }
    }

    fn peek(&self) -> Option<u8> {
        self.line.get(self.at).copied()
    }

    /// Moves to the next word; `None` at the end of the line or at a comment.
    fn skip_space(&mut self) -> Option<usize> {
        while self.peek()?.is_ascii_whitespace() {
            self.at += 1;
        }
        (self.peek()? != b'#').then_some(self.at)
    }

    fn word(&mut self) -> Result<Vec<u8>, Broken> {
        let mut word = Vec::new();
        let mut quote = None;
        while let Some(byte) = self.peek() {
            match (quote, byte) {
                (None, byte) if byte.is_ascii_whitespace() => break,
                (None, b'"' | b'\'') => quote = Some(byte),
                (Some(open), byte) if open == byte => quote = None,
                (None | Some(b'"'), b'\\') => {
                    let rest = self.line.get(self.at + 1..).unwrap_or_default();
                    let (byte, used) = escaped(rest).map_err(Broken::Escape)?;
                    word.push(byte);
                    self.at += used;
                }
                (_, byte) => word.push(byte),
            }
            self.at += 1;
        }
        match quote {
            Some(_) => Err(Broken::Open(word)),
            None => Ok(word),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        let words = split(line.as_bytes()).unwrap();
        words.into_iter().map(|word| String::from_utf8(word).unwrap()).collect()
    }

    #[test]
    fn spaces_part_words_and_quotes_hold_them_together() {
        assert_eq!(words("put  name\t\"John Doe\""), ["put", "name", "John Doe"]);
        assert_eq!(words("put 'a\\n' b' 'c"), ["put", "a\\n", "b c"]);
        assert_eq!(words("  # only a comment"), [] as [&str; 0]);
        assert_eq!(words("get a#b # not this"), ["get", "a#b"]);
        assert_eq!(words("put k \"\""), ["put", "k", ""]);
    }

    #[test]
    fn escapes_give_bytes_that_cannot_be_typed() {
        assert_eq!(
            split(b"get a\\xff\\ b \"\\x00\\\"\"").unwrap(),
            [&b"get"[..], b"a\xff b", b"\0\""]
        );
    }

    #[test]
    fn what_is_wrong_is_told_with_its_column() {
        assert_eq!(split(b"get \"abc"), Err(BadWord::Open { column: 5 }));
        assert_eq!(
            split(b"get ab\\q"),
            Err(BadWord::Escape { column: 7, why: BadEscape::Unknown('q') })
        );
    }

    #[test]
    fn the_word_at_the_cursor_is_found_while_it_is_typed() {
        let typing_of = |line: &str| {
            let typing = typing(line.as_bytes());
            (typing.before.len(), typing.start, String::from_utf8(typing.typed).unwrap())
        };
        assert_eq!(typing_of(""), (0, 0, String::new()));
        assert_eq!(typing_of("ge"), (0, 0, "ge".into()));
        assert_eq!(typing_of("get "), (1, 4, String::new()));
        assert_eq!(typing_of("get app/"), (1, 4, "app/".into()));
        assert_eq!(typing_of("get \"a b"), (1, 4, "a b".into()));
    }

    #[test]
    fn a_quoted_word_reads_back_as_itself() {
        for word in [&b"plain"[..], b"", b"a b", b"\"q\"", b"it's", b"#", b"\xff\0\\", b"a\nb"] {
            assert_eq!(split(quote(word).as_bytes()).unwrap(), [word]);
        }
    }
}
