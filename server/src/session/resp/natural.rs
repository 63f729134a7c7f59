//! Whole numbers of any length, as far as reading and writing decimal numbers exactly needs them.

use std::cmp::Ordering;

/// A whole number, its lowest 32 bits first, without zeros at the end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Natural(Vec<u32>);

impl From<u64> for Natural {
    fn from(value: u64) -> Self {
        Self::of(vec![value as u32, (value >> 32) as u32])
    }
}

impl Natural {
    pub(super) fn one() -> Self {
        Self(vec![1])
    }

    fn of(mut words: Vec<u32>) -> Self {
        while words.last() == Some(&0) {
            words.pop();
        }
        Self(words)
    }

    /// Becomes `self * factor + addend`.
    pub(super) fn multiply_add(&mut self, factor: u32, addend: u32) {
        let mut carry = u64::from(addend);
        for word in &mut self.0 {
            let product = u64::from(*word) * u64::from(factor) + carry;
            *word = product as u32;
            carry = product >> 32;
        }
        if carry > 0 {
            self.0.push(carry as u32);
        }
    }

    /// How many bits it has.
    pub(super) fn bits(&self) -> u64 {
        self.0.last().map_or(0, |high| 32 * self.0.len() as u64 - u64::from(high.leading_zeros()))
    }

    /// Becomes itself times two to the power of `bits`.
    pub(super) fn shift_left(&mut self, bits: u64) {
        let (words, rest) = ((bits / 32) as usize, bits % 32);
        if rest > 0 {
            self.multiply_add(1 << rest, 0);
        }
        if !self.0.is_empty() {
            self.0.splice(0..0, std::iter::repeat_n(0, words));
        }
    }

    /// Its 128 highest bits, zeros added below if it has fewer; and whether others are set.
    pub(super) fn top(&self) -> (u128, bool) {
        let bits = self.bits();
        let mut aligned = self.clone();
        if bits < 128 {
            aligned.shift_left(128 - bits);
        } else {
            // To a whole word, so that the highest bit is a word's highest.
            aligned.shift_left((32 - bits % 32) % 32);
        }
        let (low, high) = aligned.0.split_at(aligned.0.len().saturating_sub(4));
        let top = high.iter().rev().fold(0, |top, word| top << 32 | u128::from(*word));
        (top, low.iter().any(|word| *word > 0))
    }

    /// The quotient with at least 66 bits, the power of two that it is to be multiplied by, and
    /// whether a rest is left.
    pub(super) fn divided_by(&self, divisor: &Self) -> (u128, i64, bool) {
        const QUOTIENT_BITS: u64 = 66;
        let wanted = divisor.bits() + QUOTIENT_BITS;
        let (mut rest, mut divisor) = (self.clone(), divisor.clone());
        let shift = wanted as i64 - self.bits() as i64;
        if shift >= 0 {
            rest.shift_left(shift as u64);
        } else {
            divisor.shift_left(shift.unsigned_abs());
        }
        let mut quotient = 0;
        for bit in (0..=QUOTIENT_BITS).rev() {
            let mut part = divisor.clone();
            part.shift_left(bit);
            if rest.compare(&part) != Ordering::Less {
                rest.subtract(&part);
                quotient |= 1 << bit;
            }
        }
        (quotient, -shift, !rest.0.is_empty())
    }

    fn compare(&self, other: &Self) -> Ordering {
        let by_length = self.0.len().cmp(&other.0.len());
        by_length.then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }

    /// Takes a number away that is not greater.
    fn subtract(&mut self, other: &Self) {
        let mut borrow = 0;
        for (at, word) in self.0.iter_mut().enumerate() {
            let less = i64::from(other.0.get(at).copied().unwrap_or(0)) + borrow;
            let difference = i64::from(*word) - less;
            borrow = i64::from(difference < 0);
            *word = difference as u32;
        }
        *self = Self::of(std::mem::take(&mut self.0));
    }

    /// Its decimal digits.
    pub(super) fn decimal(mut self) -> String {
        const GROUP: u64 = 1_000_000_000;
        let mut groups = Vec::new();
        while !self.0.is_empty() {
            let mut rest = 0;
            for word in self.0.iter_mut().rev() {
                let value = rest << 32 | u64::from(*word);
                *word = (value / GROUP) as u32;
                rest = value % GROUP;
            }
            groups.push(rest);
            self = Self::of(self.0);
        }
        let mut text = groups.pop().unwrap_or(0).to_string();
        groups.iter().rev().for_each(|group| text.push_str(&format!("{group:09}")));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn power_of_ten(power: u32) -> Natural {
        let mut value = Natural::one();
        (0..power).for_each(|_| value.multiply_add(10, 0));
        value
    }

    #[test]
    fn digits_come_out_as_they_went_in() {
        assert_eq!(power_of_ten(40).decimal(), format!("1{}", "0".repeat(40)));
        assert_eq!(Natural::from(u64::MAX).decimal(), u64::MAX.to_string());
        assert_eq!(Natural::default().decimal(), "0");
    }

    #[test]
    fn a_quotient_has_enough_bits_and_says_what_is_left() {
        for (value, divisor) in [(1, 3), (10, 5), (u64::MAX, 7), (5, 1)] {
            let (quotient, power, rest) = Natural::from(value).divided_by(&Natural::from(divisor));
            assert!(128 - quotient.leading_zeros() >= 66, "{value} / {divisor}");
            assert_eq!(rest, value % divisor != 0);
            let near = quotient as f64 * 2_f64.powi(power as i32);
            assert!((near - value as f64 / divisor as f64).abs() <= near * 1e-15);
        }
    }

    #[test]
    fn the_top_is_aligned_to_its_highest_bit() {
        let mut value = Natural::from(5);
        assert_eq!(value.top(), (5 << 125, false));
        value.shift_left(200);
        assert_eq!(value.top(), (5 << 125, false));
        value.multiply_add(1, 1);
        assert_eq!(value.top(), (5 << 125, true));
    }
}
