//! Patterns as `KEYS`, `SCAN` and `PSUBSCRIBE` know them: `*`, `?`, `[a-z]`, `[^a]` and `\` before a
//! byte that means itself.

/// Whether a pattern fits the whole of a text. Its time is at most the product of both lengths.
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut seen) = (0, 0);
    // Where the last star stands, and how much of the text it has taken.
    let mut star: Option<(usize, usize)> = None;
    loop {
        if pattern.get(at) == Some(&b'*') {
            while pattern.get(at) == Some(&b'*') {
                at += 1;
            }
            if at == pattern.len() {
                return true;
            }
            star = Some((at, seen));
            continue;
        }
        let fits = match text.get(seen) {
            None if at == pattern.len() => return true,
            None => None,
            Some(byte) => one(&pattern[at..], *byte),
        };
        match (fits, star) {
            (Some(length), _) => {
                at += length;
                seen += 1;
            }
            (None, Some((behind, taken))) if taken < text.len() => {
                at = behind;
                seen = taken + 1;
                star = Some((behind, seen));
            }
            (None, _) => return false,
        }
    }
}

/// How long the part of the pattern is that fits one byte, if the first part does.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'[', ..] => {
            let (fits, length) = class(pattern, byte);
            fits.then_some(length)
        }
        [b'\\', escaped, ..] => (*escaped == byte).then_some(2),
        [literal, ..] => (*literal == byte).then_some(1),
    }
}

/// Whether a byte is in the class that the pattern begins with, and how long the class is. One that
/// is not closed ends with the pattern, as in Redis.
fn class(pattern: &[u8], byte: u8) -> (bool, usize) {
    let mut at = 1;
    let negated = pattern.get(at) == Some(&b'^');
    at += usize::from(negated);
    let mut found = false;
    loop {
        match pattern.get(at..).unwrap_or_default() {
            [] => break,
            [b'\\', escaped, ..] => {
                found |= *escaped == byte;
                at += 2;
            }
            [b']', ..] => {
                at += 1;
                break;
            }
            [low, b'-', high, ..] => {
                let (low, high) = if low <= high { (low, high) } else { (high, low) };
                found |= (low..=high).contains(&&byte);
                at += 3;
            }
            [literal, ..] => {
                found |= *literal == byte;
                at += 1;
            }
        }
    }
    (found != negated, at)
}

/// What every text that fits the pattern begins with.
pub(crate) fn prefix(pattern: &[u8]) -> Vec<u8> {
    let mut prefix = Vec::new();
    let mut rest = pattern;
    loop {
        match rest {
            [] | [b'*' | b'?' | b'[', ..] => return prefix,
            [b'\\', escaped, behind @ ..] => {
                prefix.push(*escaped);
                rest = behind;
            }
            [literal, behind @ ..] => {
                prefix.push(*literal);
                rest = behind;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_in_redis() {
        for (pattern, text, fits) in [
            ("*", "", true),
            ("*", "anything", true),
            ("", "", true),
            ("", "a", false),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h*llo", "heeeello", true),
            ("h[ae]llo", "hallo", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-b]llo", "hbllo", true),
            ("h[b-a]llo", "hallo", true),
            (r"h\*llo", "h*llo", true),
            (r"h\*llo", "hello", false),
            (r"[\]]", "]", true),
            ("[a", "a", true),
            ("a*b*c", "a--b--b--c", true),
            ("a*b*c", "a--b--b--", false),
            ("*a", "aaab", false),
            ("user:*:name", "user:17:name", true),
            ("a\\", "a\\", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), fits, "{pattern} {text}");
        }
    }

    /// The same by trying every way.
    fn naively(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], text) => text.is_empty(),
            ([b'*', rest @ ..], text) => (0..=text.len()).any(|at| naively(rest, &text[at..])),
            (_, []) => false,
            (pattern, [byte, text @ ..]) => {
                one(pattern, *byte).is_some_and(|length| naively(&pattern[length..], text))
            }
        }
    }

    #[test]
    fn any_pattern_fits_what_it_fits_by_trying_every_way() {
        let mut random = fastrand::Rng::with_seed(3);
        let mut some = |letters: &[u8], most: usize| -> Vec<u8> {
            (0..random.usize(..=most)).map(|_| letters[random.usize(..letters.len())]).collect()
        };
        for _ in 0..20_000 {
            let (pattern, text) = (some(b"ab*?[^]-\\", 8), some(b"ab-", 8));
            let fits = matches(&pattern, &text);
            let shown = (pattern.escape_ascii().to_string(), text.escape_ascii().to_string());
            assert_eq!(fits, naively(&pattern, &text), "{shown:?}");
            assert!(!fits || text.starts_with(&prefix(&pattern)), "{shown:?}");
        }
    }

    #[test]
    fn many_stars_take_no_forever() {
        let pattern = "a*".repeat(60) + "b";
        assert!(!matches(pattern.as_bytes(), "a".repeat(60_000).as_bytes()));
    }

    #[test]
    fn a_prefix_is_what_comes_before_the_first_choice() {
        for (pattern, expected) in
            [("user:*", "user:"), ("*", ""), (r"a\*b?c", "a*b"), ("abc", "abc"), ("[a]", "")]
        {
            assert_eq!(prefix(pattern.as_bytes()), expected.as_bytes());
        }
    }
}
