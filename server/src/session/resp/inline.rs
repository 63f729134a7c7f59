//! Commands as people type them: words between spaces, with quotes as in Redis' own shell.

use super::args::OwnedArgs;

/// Gives where each word of a line without quotes begins and ends.
pub(super) fn split(line: &[u8], mut word: impl FnMut(usize, usize)) {
    let mut at = 0;
    while at < line.len() {
        let Some(start) = line[at..].iter().position(|byte| !is_space(*byte)) else { return };
        let start = at + start;
        let length = line[start..].iter().position(|byte| is_space(*byte));
        let end = length.map_or(line.len(), |length| start + length);
        word(start, end);
        at = end;
    }
}

/// The words of a line, with quotes taken away: `"…"` knows escapes, `'…'` only `\'`. None when a
/// quote is not closed, or is closed in the middle of a word.
pub(super) fn unquote(line: &[u8]) -> Option<OwnedArgs> {
    // What is behind a zero byte is not read.
    let line = line.split(|&byte| byte == 0).next().unwrap_or_default();
    let mut words = OwnedArgs::default();
    let mut rest = line;
    loop {
        let start = rest.iter().position(|byte| !is_space(*byte));
        let Some(start) = start else { return Some(words) };
        let (word, behind) = take_word(&rest[start..])?;
        words.push(&word);
        rest = behind;
    }
}

fn take_word(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut word = Vec::new();
    loop {
        match rest {
            [] => return Some((word, rest)),
            [byte, ..] if is_space(*byte) => return Some((word, rest)),
            [quote @ (b'"' | b'\''), inner @ ..] => {
                rest = quoted(*quote, inner, &mut word)?;
                // A closing quote ends its word.
                return match rest.first() {
                    Some(byte) if !is_space(*byte) => None,
                    _ => Some((word, rest)),
                };
            }
            [byte, behind @ ..] => {
                word.push(*byte);
                rest = behind;
            }
        }
    }
}

/// Adds what is between quotes; what is behind the closing one, if there is one.
fn quoted<'a>(quote: u8, mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match (quote, rest) {
            (_, []) => return None,
            (b'"', [b'\\', b'x', high, low, behind @ ..])
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                word.push(hex(*high) << 4 | hex(*low));
                rest = behind;
            }
            (b'"', [b'\\', escaped, behind @ ..]) => {
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => *other,
                });
                rest = behind;
            }
            (b'\'', [b'\\', b'\'', behind @ ..]) => {
                word.push(b'\'');
                rest = behind;
            }
            (_, [byte, behind @ ..]) => {
                rest = behind;
                if *byte == quote {
                    return Some(rest);
                }
                word.push(*byte);
            }
        }
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0B | 0x0C)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Option<Vec<Vec<u8>>> {
        let words = unquote(line.as_bytes())?;
        Some(words.as_args().from(0).map(<[u8]>::to_vec).collect())
    }

    #[test]
    fn quotes_and_escapes_are_those_of_redis() {
        let one = |line: &str| words(line).and_then(|mut words| words.pop());
        assert_eq!(one(r#"a "b c""#).as_deref(), Some(&b"b c"[..]));
        assert_eq!(one(r#""\x41\n\"\\\q""#).as_deref(), Some(&b"A\n\"\\q"[..]));
        assert_eq!(one(r"'it\'s \n'").as_deref(), Some(&b"it's \\n"[..]));
        assert_eq!(one(r#"ab"cd""#).as_deref(), Some(&b"abcd"[..]));
        assert_eq!(words(r#""""#), Some(vec![vec![]]));
        for unbalanced in [r#""a"#, "'a", r#""a"b"#, r#""a\""#] {
            assert_eq!(words(unbalanced), None, "{unbalanced}");
        }
    }

    #[test]
    fn a_line_without_quotes_is_split_where_it_lies() {
        let mut found = Vec::new();
        split(b"  SET\ta  b ", |start, end| found.push((start, end)));
        assert_eq!(found, [(2, 5), (6, 7), (9, 10)]);
    }
}
