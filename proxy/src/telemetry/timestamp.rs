//! Wall-clock time as RFC 3339 text.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// A point in time; shown in UTC with milliseconds (RFC 3339 section 5.6), such as `2026-11-24T02:50:00.123Z`.
///
/// By hand, since the calendar is ten lines and a crate for dates is larger than this whole module's folder.
/// What lies before 1970 is shown as 1970: a machine without a clock must still be able to log.
#[derive(Clone, Copy, Debug)]
pub struct Timestamp(pub SystemTime);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = self.0.duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = since.as_secs();
        let (year, month, day) = civil(seconds / 86_400);
        let (h, m, s) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{:03}Z", since.subsec_millis())
    }
}

/// Days since 1970-01-01 to the proleptic Gregorian calendar: Howard Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms", `civil_from_days`. Years begin in March there, so that the leap day is the last one.
fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let era = z / 146_097;
    let of_era = z % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn shown(seconds: u64, millis: u64) -> String {
        let at = UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_millis(millis);
        Timestamp(at).to_string()
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, "2000-02-28T23:59:59.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (951_868_800, "2000-03-01T00:00:00.000Z"),
            (1_234_567_890, "2009-02-13T23:31:30.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(shown(seconds, 0), text);
        }
        assert_eq!(shown(1, 42), "1970-01-01T00:00:01.042Z");
    }

    #[test]
    fn a_clock_before_the_epoch_is_no_reason_to_fail() {
        let text = Timestamp(UNIX_EPOCH - Duration::from_secs(5)).to_string();
        assert_eq!(text, "1970-01-01T00:00:00.000Z");
    }
}
