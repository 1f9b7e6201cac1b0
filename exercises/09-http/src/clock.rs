//! Points in time, as Docker reads them.

use std::time::{SystemTime, UNIX_EPOCH};

/// A time in UTC as RFC 3339 writes it: `2026-11-24T17:34:02Z`.
///
/// If CreatedAt has another format, Docker reports that there is no such
/// volume.
pub fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    // The format has no years after 9999.
    let seconds = since.as_secs().min(253_402_300_799);
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute) = (seconds / 3600 % 24, seconds / 60 % 60);
    let second = seconds % 60;
    format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// A time in UTC as HTTP writes it: `Tue, 24 Nov 2026 17:34:02 GMT`.
pub fn http_date(time: SystemTime) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct",
        "Nov", "Dec",
    ];
    let text = rfc3339(time);
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let weekday = DAYS[(since.as_secs() / 86_400 % 7) as usize];
    let month = text[5..7].parse().unwrap_or(1_usize);
    let month = MONTHS.get(month - 1).unwrap_or(&"Jan");
    let (year, day, time) = (&text[..4], &text[8..10], &text[11..19]);
    format!("{weekday}, {day} {month} {year} {time} GMT")
}

/// The date that is `days` after 1970-01-01, as year, month and day.
fn date(days: u64) -> (u64, u64, u64) {
    // Here, years begin in March, so that a leap day is the last day of a year.
    // Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms",
    // civil_from_days.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_written_as_date_writes_them() {
        // From `date -u -d @SECONDS +%FT%TZ`.
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_798_761_599, "2026-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (u64::from(u32::MAX) << 20, "9999-12-31T23:59:59Z"),
        ] {
            let time = UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(rfc3339(time), expected, "{seconds}");
        }
    }

    #[test]
    fn dates_of_http_have_a_weekday() {
        // From `date -u -d @SECONDS '+%a, %d %b %Y %T GMT'`.
        for (seconds, expected) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_798_761_599, "Thu, 31 Dec 2026 23:59:59 GMT"),
        ] {
            let time = UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(http_date(time), expected, "{seconds}");
        }
    }
}
