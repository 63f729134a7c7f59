//! Numbers as Redis reads and writes them.

/// Reads a whole number: decimal digits, a minus before them if need be, nothing else, no zeros in
/// front.
pub(super) fn integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', rest @ ..] if rest.len() < 19 => {}
        _ => return None,
    }
    let mut value: u64 = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
    }
    match negative {
        true => 0_i64.checked_sub_unsigned(value),
        false => i64::try_from(value).ok(),
    }
}

/// Appends a whole number.
pub(super) fn write_integer(value: i64, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    let mut left = value.unsigned_abs();
    // Nearly every length has one digit or two.
    if left < 10 {
        out.push(b'0' + left as u8);
        return;
    }
    if left < 100 {
        out.extend_from_slice(&[b'0' + (left / 10) as u8, b'0' + (left % 10) as u8]);
        return;
    }
    let mut text = [0; 20];
    let mut at = text.len();
    while left > 0 {
        at -= 1;
        text[at] = b'0' + (left % 10) as u8;
        left /= 10;
    }
    out.extend_from_slice(&text[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_usual_form_of_a_number_is_one() {
        for (text, value) in [
            ("0", Some(0)),
            ("7", Some(7)),
            ("-1", Some(-1)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("-9223372036854775809", None),
            ("99999999999999999999", None),
            ("", None),
            ("-", None),
            ("-0", None),
            ("01", None),
            ("+1", None),
            (" 1", None),
            ("1 ", None),
            ("1a", None),
        ] {
            assert_eq!(integer(text.as_bytes()), value, "{text:?}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for value in [0, 9, 10, -10, 1234, i64::MAX, i64::MIN] {
            let mut text = Vec::new();
            write_integer(value, &mut text);
            assert_eq!(text, value.to_string().as_bytes());
            assert_eq!(integer(&text), Some(value));
        }
    }
}
