//! Sizes as people write them: a number of bytes, or one with a unit.

/// Units by name; those with an i are powers of 1024.
const UNITS: [(&str, u64); 11] = [
    ("", 1),
    ("b", 1),
    ("k", 1 << 10),
    ("kib", 1 << 10),
    ("kb", 1_000),
    ("m", 1 << 20),
    ("mib", 1 << 20),
    ("mb", 1_000_000),
    ("g", 1 << 30),
    ("gib", 1 << 30),
    ("gb", 1_000_000_000),
];

/// Reads `2GiB`, `512 MiB`, `100k` or `4096`; for clap.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let not = || format!("{text:?} is no size; write bytes, or a number with KiB, MiB or GiB");
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| not())?;
    let unit = unit.trim().to_ascii_lowercase();
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(not)?;
    number.checked_mul(*factor).ok_or_else(not)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        assert_eq!(parse("0"), Ok(0));
        assert_eq!(parse("4096"), Ok(4096));
        assert_eq!(parse("2GiB"), Ok(2 << 30));
        assert_eq!(parse("512 mib"), Ok(512 << 20));
        assert_eq!(parse("3MB"), Ok(3_000_000));
        assert_eq!(parse("100k"), Ok(100 << 10));
        for no in ["", "GiB", "-1", "1.5GiB", "12 parsecs", "99999999999GiB"] {
            assert!(parse(no).is_err(), "{no}");
        }
    }
}
