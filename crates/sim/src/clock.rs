//! Time as the network writes it. All times are microseconds since the start of 1970, UTC.

/// A timestamp identifier: 53 bits of microseconds and 10 of clock, in sortable base 32.
///
/// Source: the TID specification.
pub(crate) fn tid(micros: u64, clock: u64) -> String {
    const ALPHABET: &[u8; 32] = b"234567abcdefghijklmnopqrstuvwxyz";
    let bits = (micros & ((1 << 53) - 1)) << 10 | (clock & 0x3ff);
    let digit = |place: u32| char::from(ALPHABET[(bits >> (60 - 5 * place)) as usize & 31]);
    (0..13).map(digit).collect()
}

/// `2026-01-01T00:00:00.000Z`.
pub(crate) fn datetime(micros: u64) -> String {
    let millis = micros / 1000;
    let (days, of_day) = (millis / 86_400_000, millis % 86_400_000);
    let (year, month, day) = civil(days);
    let (seconds, millis) = (of_day / 1000, of_day % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// The Gregorian date of a day counted from 1970.
///
/// Years are counted from March, so that the leap day is the last of its year.
const fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year + era * 400 + (month <= 2) as u64;
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::{datetime, tid};

    #[test]
    fn datetimes_are_gregorian() {
        // Taken from `date -u -d @…`.
        assert_eq!(datetime(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(datetime(951_782_400_000_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(datetime(1_767_225_599_999_999), "2025-12-31T23:59:59.999Z");
        assert_eq!(datetime(4_107_542_400_000_000), "2100-03-01T00:00:00.000Z");
    }

    #[test]
    fn tids_are_those_of_the_specification() {
        assert_eq!(tid(0, 0), "2222222222222");
        // A real record key and the time in it, of 4 July 2026.
        assert_eq!(tid(1_783_175_887_000_000, 0)[..4], *"3mpt");
        assert!(tid(1, 0) > tid(0, 1023));
    }
}
