use std::sync::Arc;

use super::error::{IdentifierError, Syntax};
use crate::micros::Micros;

/// A point in time as text, such as records and firehose messages carry.
///
/// Two rules are in use. Lexicon data keeps to the narrower one, [`check`](Self::check), which
/// this type stands for. Production Jetstream asks less of the `time` of a firehose message: any
/// RFC 3339 timestamp, [`check_rfc3339`](Self::check_rfc3339); that one decides whether a
/// message is passed on.
///
/// # Examples
///
/// ```
/// use jetwash_event::Datetime;
///
/// assert!(Datetime::check("2026-07-04T14:38:07.517Z").is_ok());
/// assert!(Datetime::check("2026-07-04T14:38:07-00:00").is_err());
/// assert!(Datetime::check_rfc3339("2026-07-04T14:38:07-00:00").is_ok());
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Datetime(Arc<str>);

impl Datetime {
    /// The longest that is accepted, in bytes.
    pub const MAX_LENGTH: usize = 64;

    /// Checks text against the datetime format of atproto, the common part of RFC 3339 and
    /// ISO 8601: at most 64 bytes and 20 digits of fraction, no offset `-00:00`, not before the
    /// year 0.
    ///
    /// # Errors
    ///
    /// When it is not such a datetime.
    pub fn check(text: &str) -> Result<(), IdentifierError> {
        Self::time_of(text).map(drop)
    }

    /// The moment, rounded down to microseconds; one before 1970 is 1970.
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash_event::{Datetime, Micros};
    ///
    /// let datetime: Datetime = "2026-07-04T16:38:07.517+02:00".parse()?;
    /// assert_eq!(datetime.time(), Micros::new(1_783_175_887_517_000));
    /// # Ok::<(), jetwash_event::IdentifierError>(())
    /// ```
    #[must_use]
    pub fn time(&self) -> Micros {
        let parts = Parts::parse(&self.0);
        debug_assert!(parts.is_ok(), "it was checked when it was made");
        parts.map(|parts| parts.time()).unwrap_or_default()
    }

    /// Checks text as [`check`](Self::check) does, and returns the moment.
    pub(crate) fn time_of(text: &str) -> Result<Micros, IdentifierError> {
        let require = |kept, rule| Syntax::Datetime.require(kept, rule);
        require(text.len() <= Self::MAX_LENGTH, "longer than 64 bytes")?;
        let parts = Parts::parse(text).map_err(|rule| Syntax::Datetime.error(rule))?;
        require(
            parts.fraction_digits <= 20,
            "more than 20 digits of fraction",
        )?;
        require(parts.offset != "-00:00", "the offset `-00:00`")?;
        require(!parts.is_before_year_zero(), "before the year 0")?;
        Ok(parts.time())
    }

    /// Checks text against RFC 3339, with `T` and `Z` in upper case: what the `time` of a
    /// firehose message must be.
    ///
    /// Leap seconds (`:60`) are refused, as by the parser that production uses.
    ///
    /// # Errors
    ///
    /// When it is not such a timestamp.
    pub fn check_rfc3339(text: &str) -> Result<(), IdentifierError> {
        match Parts::parse(text) {
            Ok(_) => Ok(()),
            Err(rule) => Err(Syntax::Datetime.error(rule)),
        }
    }
}

super::shared_text!(Datetime);

/// The parts of a well-formed timestamp that the checks need.
struct Parts<'a> {
    is_year_zero_first_day: bool,
    date: (u32, u32, u32),
    minute_of_day: u32,
    second: u32,
    /// The first six digits of the fraction.
    micros: u32,
    fraction_digits: usize,
    /// `Z`, or a sign, hours, a colon and minutes.
    offset: &'a str,
    offset_minutes: u32,
}

impl<'a> Parts<'a> {
    fn parse(text: &'a str) -> Result<Self, &'static str> {
        const FORM: &str = "not of the form `YYYY-MM-DDTHH:MM:SS` with a zone after it";
        // Matched by position rather than split: every place up to the seconds is fixed.
        let (date_time, rest) = text.split_at_checked(19).ok_or(FORM)?;
        let [
            y0,
            y1,
            y2,
            y3,
            b'-',
            mo0,
            mo1,
            b'-',
            d0,
            d1,
            b'T',
            h0,
            h1,
            b':',
            mi0,
            mi1,
            b':',
            s0,
            s1,
        ] = *date_time.as_bytes()
        else {
            return Err(FORM);
        };
        let year = two_digits(y0, y1).ok_or(FORM)? * 100 + two_digits(y2, y3).ok_or(FORM)?;
        let month = two_digits(mo0, mo1).ok_or(FORM)?;
        let day = two_digits(d0, d1).ok_or(FORM)?;
        let hour = two_digits(h0, h1).ok_or(FORM)?;
        let minute = two_digits(mi0, mi1).ok_or(FORM)?;
        let second = two_digits(s0, s1).ok_or(FORM)?;
        if !(1..=12).contains(&month) || day == 0 || day > days_in(year, month) {
            return Err("a day that is in no calendar");
        }
        if hour > 23 || minute > 59 || second > 59 {
            return Err("a time that is on no clock");
        }
        let (fraction, offset) = match rest.strip_prefix('.') {
            None => ("", rest),
            Some(after) => {
                let offset = after.trim_start_matches(|c: char| c.is_ascii_digit());
                after.split_at(after.len() - offset.len())
            }
        };
        let fraction_digits = fraction.len();
        if fraction_digits == 0 && rest.starts_with('.') {
            return Err("a point without a fraction after it");
        }
        let offset_minutes = minutes_of(offset)?;
        Ok(Self {
            is_year_zero_first_day: (year, month, day) == (0, 1, 1),
            date: (year, month, day),
            minute_of_day: hour * 60 + minute,
            second,
            micros: micros_of(fraction),
            fraction_digits,
            offset,
            offset_minutes,
        })
    }

    fn time(&self) -> Micros {
        let offset = i64::from(self.offset_minutes);
        let offset = if self.offset.starts_with('-') {
            -offset
        } else {
            offset
        };
        let minutes = day_of(self.date) * 1_440 + i64::from(self.minute_of_day) - offset;
        let seconds = minutes * 60 + i64::from(self.second);
        let micros = seconds * 1_000_000 + i64::from(self.micros);
        Micros::new(u64::try_from(micros).unwrap_or(0))
    }

    fn is_before_year_zero(&self) -> bool {
        self.is_year_zero_first_day
            && self.offset.starts_with('+')
            && self.minute_of_day < self.offset_minutes
    }
}

/// Reads `Z`, or a sign, hours, a colon and minutes.
fn minutes_of(offset: &str) -> Result<u32, &'static str> {
    const ZONE: &str = "no zone: `Z`, or an offset such as `+01:00`";
    match *offset.as_bytes() {
        [b'Z'] => Ok(0),
        [b'+' | b'-', h0, h1, b':', m0, m1] => {
            let hours = two_digits(h0, h1).ok_or(ZONE)?;
            let minutes = two_digits(m0, m1).ok_or(ZONE)?;
            if hours > 23 || minutes > 59 {
                return Err("an offset of a day or more");
            }
            Ok(hours * 60 + minutes)
        }
        _ => Err(ZONE),
    }
}

fn two_digits(tens: u8, ones: u8) -> Option<u32> {
    let digit = |byte: u8| char::from(byte).to_digit(10);
    Some(digit(tens)? * 10 + digit(ones)?)
}

/// The first six digits of a fraction of a second, as microseconds.
fn micros_of(fraction: &str) -> u32 {
    let digits = fraction.bytes().chain(std::iter::repeat(b'0')).take(6);
    digits.fold(0, |micros, digit| micros * 10 + u32::from(digit - b'0'))
}

/// The number of a day, counted from the first of 1970.
///
/// Years are counted from March, so that the day that only some have is the last one, and in cycles
/// of 400 years, all of which have the same number of days.
fn day_of((year, month, day): (u32, u32, u32)) -> i64 {
    let (year, month) = (i64::from(year) - i64::from(month < 3), i64::from(month));
    let (cycle, of_cycle) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + i64::from(day) - 1;
    let days = of_cycle * 365 + of_cycle / 4 - of_cycle / 100 + of_year;
    cycle * 146_097 + days - 719_468
}

const fn days_in(year: u32, month: u32) -> u32 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}
