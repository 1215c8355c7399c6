use jetwash_event::Micros;

/// Reads a timestamp of version 2: RFC 3339 in UTC, not before 1970, with up to six digits of
/// fraction that count. Those after them are cut off.
pub(super) fn micros(text: &str) -> Option<Micros> {
    let bytes = text.as_bytes();
    let (date_time, rest) = bytes.split_at_checked(19)?;
    let number = |start: usize, length: usize| {
        let digits = date_time.get(start..start + length)?;
        let add = |sum: u64, digit: &u8| {
            let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
            Some(sum * 10 + digit)
        };
        digits.iter().try_fold(0, add)
    };
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if separators
        .iter()
        .any(|&(at, separator)| date_time[at] != separator)
    {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
    let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
    let is_in_range = year >= 1970
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    let fraction = rest.strip_suffix(b"Z")?;
    if !is_in_range {
        return None;
    }
    let fraction = match fraction {
        [] => 0,
        [b'.', digits @ ..] if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) => {
            let padded = digits.iter().chain(b"000000").take(6);
            padded.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'))
        }
        _ => return None,
    };
    let seconds = ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    Some(Micros::new(seconds * 1_000_000 + fraction))
}

/// Days from 1970 to a date of the Gregorian calendar, counting years from March on.
const fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let in_year = (153 * month + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + in_year - DAYS_TO_1970
}

/// From 1 March of the year 0 to 1 January 1970.
const DAYS_TO_1970: u64 = 719_468;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_read_to_the_microsecond() {
        // By hand, with `date -u -d … +%s`.
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-03-01T00:00:00.000001Z", 5_097_600_000_001),
            ("2000-02-29T23:59:59.5Z", 951_868_799_500_000),
            ("2026-11-26T11:29:15.301434Z", 1_795_692_555_301_434),
            ("2026-11-26T11:29:15.3014349Z", 1_795_692_555_301_434),
            ("2100-03-01T00:00:00.123456Z", 4_107_542_400_123_456),
        ] {
            assert_eq!(micros(text), Some(Micros::new(expected)), "{text}");
        }
    }

    #[test]
    fn what_is_not_such_a_timestamp_is_refused() {
        for text in [
            "",
            "2026-11-26",
            "2026-11-26T11:29:15",
            "2026-11-26T11:29:15+00:00",
            "2026-11-26T11:29:15.Z",
            "2026-13-26T11:29:15Z",
            "2026-00-26T11:29:15Z",
            "1969-12-31T23:59:59Z",
            "2026-11-26t11:29:15Z",
            "2026-11-26T24:29:15Z",
            "2026-11-26T11:29:15.1é2Z",
            "+026-11-26T11:29:15Z",
        ] {
            assert_eq!(micros(text), None, "{text}");
        }
    }
}
