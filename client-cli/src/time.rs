//! Lifetimes and moments as people write them: `90s`, `5m`, `1h30m`, and `2030-01-01T00:00:00Z` or
//! milliseconds since the Unix epoch; and how short times are shown.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Reads a duration with its unit.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| {
        "write a number with its unit, such as 500ms, 10s, 5m, 2h, 1d or 1h30m".to_owned()
    })
}

/// Reads a moment: RFC 3339 in UTC, or a number of milliseconds since the Unix epoch.
pub(crate) fn moment_ms(text: &str) -> Result<u64, String> {
    if let Ok(ms) = text.parse() {
        return Ok(ms);
    }
    let moment = humantime::parse_rfc3339_weak(text).map_err(|_| {
        "write a moment in UTC such as 2030-01-31T12:00:00Z, or milliseconds since 1970".to_owned()
    })?;
    let since = moment.duration_since(UNIX_EPOCH).map_err(|_| "that is before 1970".to_owned())?;
    Ok(whole_ms(since))
}

/// A duration in whole milliseconds.
pub(crate) fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// This machine's clock, in milliseconds since the Unix epoch.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, whole_ms)
}

/// A short time with three digits and its unit, as in `1.24 ms`.
pub(crate) fn short(duration: Duration) -> String {
    let micros = duration.as_secs_f64() * 1e6;
    match micros {
        ..1e3 => format!("{micros:.0} µs"),
        ..1e4 => format!("{:.2} ms", micros / 1e3),
        ..1e6 => format!("{:.1} ms", micros / 1e3),
        _ => format!("{:.2} s", micros / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_need_a_unit() {
        assert_eq!(duration("10s").unwrap(), Duration::from_secs(10));
        assert_eq!(duration("1500ms").unwrap(), Duration::from_millis(1500));
        assert_eq!(duration("1h30m").unwrap(), Duration::from_secs(5400));
        assert_eq!(duration("1d").unwrap(), Duration::from_secs(86_400));
        for wrong in ["10", "", "ten", "-1s", "10 lightyears"] {
            assert!(duration(wrong).unwrap_err().contains("unit"), "{wrong}");
        }
    }

    #[test]
    fn moments_are_utc_or_milliseconds() {
        assert_eq!(moment_ms("1000").unwrap(), 1000);
        assert_eq!(moment_ms("2030-01-01T00:00:00Z").unwrap(), 1_893_456_000_000);
        assert_eq!(moment_ms("2030-01-01 00:00:00.123").unwrap(), 1_893_456_000_123);
        assert!(moment_ms("tomorrow").unwrap_err().contains("UTC"));
    }
}
