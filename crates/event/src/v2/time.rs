use crate::micros::Micros;

/// Writes moments as RFC 3339 in UTC, with six digits after the second. Events that follow each other
/// are mostly of the same second, whose text is kept.
#[derive(Clone, Debug, Default)]
pub(super) struct TimeText {
    /// The second whose text is kept, counted from the first of 1970; nothing is kept yet if that text
    /// is empty.
    second: u64,
    /// The text up to the point before the fraction.
    text: Vec<u8>,
}

impl TimeText {
    pub(super) fn write(&mut self, time: Micros, out: &mut Vec<u8>) {
        let (second, micros) = (time.get() / 1_000_000, time.get() % 1_000_000);
        if second != self.second || self.text.is_empty() {
            self.second = second;
            self.text.clear();
            write_second(second, &mut self.text);
        }
        out.extend_from_slice(&self.text);
        digits::<6>(micros, out);
        out.push(b'Z');
    }
}

/// Appends a second, with the point before its fraction.
fn write_second(seconds: u64, out: &mut Vec<u8>) {
    let (year, month, day) = date(seconds / SECONDS_A_DAY);
    let second = seconds % SECONDS_A_DAY;
    // A year has four digits for some eight thousand years to come.
    if year < 1000 {
        digits::<4>(year, out);
    } else {
        out.extend_from_slice(itoa::Buffer::new().format(year).as_bytes());
    }
    for (separator, number) in [
        (b'-', month),
        (b'-', day),
        (b'T', second / 3600),
        (b':', second / 60 % 60),
        (b':', second % 60),
    ] {
        out.push(separator);
        digits::<2>(number, out);
    }
    out.push(b'.');
}

/// The date of a day, counted from the first of 1970.
///
/// Years are counted from March, so that the day that only some have is the last one; and in
/// cycles of 400 years, all of which have the same number of days.
const fn date(day: u64) -> (u64, u64, u64) {
    let day = day + DAYS_FROM_MARCH_OF_YEAR_0;
    let (cycle, day) = (day / DAYS_A_CYCLE, day % DAYS_A_CYCLE);
    let leap_days = day / 1_460 - day / 36_524 + day / (DAYS_A_CYCLE - 1);
    let year = (day - leap_days) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // Months from March on have 31 and 30 days in a pattern of five, which are 153 days.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (cycle * 400 + year + next_year, month, day)
}

/// Appends the last `N` digits of a number.
fn digits<const N: usize>(mut number: u64, out: &mut Vec<u8>) {
    let mut text = [b'0'; N];
    for digit in text.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
    out.extend_from_slice(&text);
}

const SECONDS_A_DAY: u64 = 86_400;
const DAYS_FROM_MARCH_OF_YEAR_0: u64 = 719_468;
const DAYS_A_CYCLE: u64 = 146_097;

#[cfg(test)]
mod tests {
    use super::*;

    fn text(micros: u64) -> String {
        let mut out = Vec::new();
        TimeText::default().write(Micros::new(micros), &mut out);
        String::from_utf8(out).unwrap()
    }

    // Expected with GNU date.
    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.000007Z"),
            (951_782_399, "2000-02-28T23:59:59.000007Z"),
            (951_782_400, "2000-02-29T00:00:00.000007Z"),
            (951_868_800, "2000-03-01T00:00:00.000007Z"),
            (1_704_067_199, "2023-12-31T23:59:59.000007Z"),
            (1_709_164_800, "2024-02-29T00:00:00.000007Z"),
            (1_783_175_888, "2026-07-04T14:38:08.000007Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000007Z"),
            (253_402_300_799, "9999-12-31T23:59:59.000007Z"),
        ] {
            assert_eq!(text(seconds * 1_000_000 + 7), expected, "{seconds}");
        }
        assert_eq!(text(999_999), "1970-01-01T00:00:00.999999Z");
    }

    #[test]
    fn a_second_that_is_kept_is_not_taken_for_another() {
        let mut kept = TimeText::default();
        for micros in [0, 7, 1_000_000, 999_999, 1_999_999, 86_400_000_000, 5] {
            let mut out = Vec::new();
            kept.write(Micros::new(micros), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text(micros));
        }
    }

    #[test]
    fn each_day_follows_the_one_before() {
        let mut before = date(0);
        for day in 1..200_000 {
            let (year, month, day) = date(day);
            let (last_year, last_month, last_day) = before;
            let is_leap = |year: u64| {
                year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400)
            };
            let length = match last_month {
                2 if is_leap(last_year) => 29,
                2 => 28,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            let expected = match (last_month, last_day) {
                (12, 31) => (last_year + 1, 1, 1),
                (month, day) if day == length => (last_year, month + 1, 1),
                (month, day) => (last_year, month, day + 1),
            };
            assert_eq!((year, month, day), expected);
            before = (year, month, day);
        }
    }
}
