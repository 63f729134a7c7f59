//! `INCRBYFLOAT`'s arithmetic.

use super::fail::{Fail, NOT_A_FLOAT};

/// The sum of two numbers, as text.
pub(super) fn add(left: &[u8], right: &[u8]) -> Result<String, Fail> {
    let read = |text: &[u8]| -> Result<f64, Fail> {
        std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(NOT_A_FLOAT)
    };
    let sum = read(left)? + read(right)?;
    if !sum.is_finite() {
        return Err(Fail::known("ERR increment would produce NaN or Infinity"));
    }
    Ok(format!("{sum}"))
}
