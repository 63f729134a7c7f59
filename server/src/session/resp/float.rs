//! `INCRBYFLOAT`'s arithmetic. Redis adds in the 80-bit format of x86 and shows 17 digits behind the
//! point; here the same is done with whole numbers, so that the sum is the same on every machine:
//! a number is a sign, 64 bits, and a power of two.

use std::cmp::Ordering;

use super::fail::{Fail, NOT_A_FLOAT};
use super::natural::Natural;

/// What a sum is told that is no number.
const NO_NUMBER: Fail = Fail::known("ERR increment would produce NaN or Infinity");

/// The longest number that is read, in bytes, as in Redis.
const TEXT_MAX: usize = 5 * 1024;

/// The powers of two beyond which a number is infinite, or nothing.
const HIGHEST: i64 = 16_384;
const LOWEST: i64 = -16_446;

/// Digits behind the point.
const PLACES: u32 = 17;

/// A number: `bits` times two to the power of `power`; the highest bit is set unless it is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Extended {
    negative: bool,
    bits: u64,
    power: i64,
}

/// The sum of two numbers, as text.
pub(super) fn add(left: &[u8], right: &[u8]) -> Result<String, Fail> {
    match (read(left)?, read(right)?) {
        (Some(left), Some(right)) => left.plus(right).and_then(Extended::text).ok_or(NO_NUMBER),
        _ => Err(NO_NUMBER),
    }
}

/// Reads a number; none if it is infinite.
fn read(text: &[u8]) -> Result<Option<Extended>, Fail> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] | rest => (false, rest),
    };
    if digits.eq_ignore_ascii_case(b"inf") || digits.eq_ignore_ascii_case(b"infinity") {
        return Ok(None);
    }
    let number = (text.len() <= TEXT_MAX).then(|| decimal(negative, digits)).flatten();
    number.map(Some).ok_or(NOT_A_FLOAT)
}

fn decimal(negative: bool, text: &[u8]) -> Option<Extended> {
    let end = text.iter().position(|byte| matches!(byte, b'e' | b'E'));
    let (mantissa, exponent) = match end {
        Some(at) => (&text[..at], std::str::from_utf8(&text[at + 1..]).ok()?.parse::<i64>().ok()?),
        None => (text, 0),
    };
    let (mut value, mut places, mut any, mut point) = (Natural::default(), 0, false, false);
    for byte in mantissa {
        match byte {
            b'.' if !point => point = true,
            b'0'..=b'9' => {
                any = true;
                value.multiply_add(10, u32::from(byte - b'0'));
                places += i64::from(point);
            }
            _ => return None,
        }
    }
    if !any {
        return None;
    }
    let ten = exponent.checked_sub(places)?;
    if value.bits() == 0 {
        return Some(Extended { negative, bits: 0, power: 0 });
    }
    // A power of ten so far out that the number is infinite or nothing whatever its digits are.
    if !(-12_000..=12_000).contains(&ten) {
        return (ten < 0).then_some(Extended { negative, bits: 0, power: 0 });
    }
    if ten >= 0 {
        (0..ten).for_each(|_| value.multiply_add(10, 0));
        let (top, lost) = value.top();
        return round(negative, top, value.bits() as i64 - 128, lost);
    }
    let mut divisor = Natural::one();
    (0..-ten).for_each(|_| divisor.multiply_add(10, 0));
    let (quotient, power, lost) = value.divided_by(&divisor);
    round(negative, quotient, power, lost)
}

/// The number nearest to `value` times two to the power of `power`, and a little more if something
/// was `lost`; the even one of two. None if it is infinite.
fn round(negative: bool, value: u128, power: i64, lost: bool) -> Option<Extended> {
    if value == 0 {
        return Some(Extended { negative, bits: 0, power: 0 });
    }
    let high = i64::from(128 - value.leading_zeros());
    let mut power = power + high - 64;
    let mut bits = if high <= 64 {
        (value as u64) << (64 - high)
    } else {
        let drop = high - 64;
        let rest = value & ((1 << drop) - 1);
        let half = 1_u128 << (drop - 1);
        let kept = (value >> drop) as u64;
        let up = match rest.cmp(&half) {
            Ordering::Greater => true,
            Ordering::Equal => lost || kept & 1 == 1,
            Ordering::Less => false,
        };
        match kept.checked_add(up.into()) {
            Some(bits) => bits,
            None => {
                power += 1;
                1 << 63
            }
        }
    };
    if power + 64 > HIGHEST {
        return None;
    }
    if power < LOWEST {
        bits = 0;
    }
    Some(Extended { negative, bits, power })
}

impl Extended {
    /// The sum; none if it is infinite.
    fn plus(self, other: Self) -> Option<Self> {
        let (large, small) = if other.bits == 0
            || self.bits != 0 && (self.power, self.bits) >= (other.power, other.bits)
        {
            (self, other)
        } else {
            (other, self)
        };
        if small.bits == 0 {
            return Some(large);
        }
        // Room for a carry above, and for what is shifted out below.
        const BELOW: u32 = 62;
        let distance = u32::try_from(large.power - small.power).unwrap_or(u32::MAX);
        let value = u128::from(large.bits) << BELOW;
        let wide = u128::from(small.bits) << BELOW;
        let shifted = wide.checked_shr(distance).unwrap_or(0);
        let lost = distance >= 128 || shifted << distance != wide;
        // A bit below all others stands for what was lost.
        let shifted = shifted | u128::from(lost);
        let sum = if large.negative == small.negative { value + shifted } else { value - shifted };
        let negative = large.negative && sum != 0;
        round(negative, sum, large.power - i64::from(BELOW), false)
    }

    /// The number with as many digits behind the point as it needs, up to 17; none if it is too long.
    fn text(self) -> Option<String> {
        let (whole, places) = if self.power >= 0 {
            let mut whole = Natural::from(self.bits);
            whole.shift_left(u64::try_from(self.power).ok()?);
            (whole.decimal(), String::new())
        } else {
            let scaled = u128::from(self.bits) * 10_u128.pow(PLACES);
            let shift = self.power.unsigned_abs();
            let rounded = match shift {
                1..128 => {
                    let (kept, rest) = (scaled >> shift, scaled & ((1 << shift) - 1));
                    let half = 1_u128 << (shift - 1);
                    kept + u128::from(rest > half || rest == half && kept & 1 == 1)
                }
                _ => 0,
            };
            let unit = 10_u128.pow(PLACES);
            let places = format!("{:017}", rounded % unit);
            ((rounded / unit).to_string(), places.trim_end_matches('0').to_owned())
        };
        let sign = if self.negative && (whole != "0" || !places.is_empty()) { "-" } else { "" };
        let point = if places.is_empty() { "" } else { "." };
        Some(format!("{sign}{whole}{point}{places}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(left: &str, right: &str) -> String {
        match add(left.as_bytes(), right.as_bytes()) {
            Ok(sum) => sum,
            Err(fail) => String::from_utf8_lossy(fail.text()).into_owned(),
        }
    }

    #[test]
    fn sums_are_those_of_redis() {
        for (left, right, expected) in [
            ("10.5", "0.1", "10.6"),
            ("0.1", "0.2", "0.3"),
            ("5.6", "5.0e3", "5005.60000000000000009"),
            ("0", "1000.1", "1000.09999999999999998"),
            ("1000.09999999999999998", "0.1", "1000.19999999999999996"),
            ("3.14159265358979", "123456.789", "123459.93059265358979104"),
            ("3.0", "1.0e2", "103"),
            ("5", "-5", "0"),
            ("-0", "0", "0"),
            ("1", "-1.5", "-0.5"),
            ("1", "1e-30", "1"),
            ("1e17", "0.5", "100000000000000000.5"),
            (".5", "5.", "5.5"),
            ("0", "1e-5000", "0"),
            ("nan", "1", "ERR value is not a valid float"),
            ("1", "", "ERR value is not a valid float"),
            ("1", " 1", "ERR value is not a valid float"),
            ("1", "1e", "ERR value is not a valid float"),
            ("1", "1e5000", "ERR value is not a valid float"),
            ("inf", "1", "ERR increment would produce NaN or Infinity"),
            ("1.1e4932", "1.1e4932", "ERR increment would produce NaN or Infinity"),
        ] {
            assert_eq!(sum(left, right), expected, "{left} + {right}");
        }
        assert!(sum("1e300", "1").starts_with("1000000000000000000008997324079559193870523944273"));
    }
}
