//! Times as a journal has them: ISO 8601 with microseconds, in UTC.

use chrono::{DateTime, Local, NaiveDateTime, SecondsFormat, SubsecRound, Utc};

/// A time, in microseconds.
pub(crate) type Timestamp = DateTime<Utc>;

/// The present time.
pub(crate) fn now() -> Timestamp {
    Utc::now().trunc_subsecs(6)
}

/// The time as Optuna writes it: `2026-01-31T12:00:00.000000+00:00`.
pub(crate) fn to_iso(time: &Timestamp) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, false)
}

/// Reads a time. One without an offset, as versions of Optuna before 5.0 write it, is local.
pub(crate) fn from_iso(text: &str) -> Option<Timestamp> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.to_utc());
    }
    let local: NaiveDateTime = text.parse().ok()?;
    Some(local.and_local_timezone(Local).earliest()?.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_with_microseconds() {
        for text in ["2026-02-28T23:59:59.000001+00:00", "1999-12-31T00:00:00.000000+00:00"] {
            assert_eq!(to_iso(&from_iso(text).unwrap()), text);
        }
        let summer = from_iso("2026-07-01T02:30:00.5+02:00").unwrap();
        assert_eq!(to_iso(&summer), "2026-07-01T00:30:00.500000+00:00");
        assert_eq!(from_iso(&to_iso(&now())).unwrap().timestamp_subsec_nanos() % 1000, 0);
    }

    #[test]
    fn a_time_without_offset_is_local_and_another_text_is_none() {
        let local = from_iso("2026-01-15T12:00:00.250000").unwrap();
        assert_eq!(
            local.with_timezone(&Local).naive_local().to_string(),
            "2026-01-15 12:00:00.250"
        );
        for text in ["", "yesterday", "2026-13-01T00:00:00+00:00"] {
            assert_eq!(from_iso(text), None, "{text}");
        }
    }
}
