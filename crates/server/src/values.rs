//! Values of options: sizes, durations and collections.

use std::time::Duration;

use jetwash::Filter;
use jetwash::event::FilterError;

/// Reads a size, such as 1048576, 50GB or 10GiB, in bytes.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let digits = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim() {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return Err("the unit must be kB, MB, GB, TB, KiB, MiB, GiB or TiB".to_owned()),
    };
    let bytes = number
        .parse()
        .ok()
        .and_then(|number: u64| number.checked_mul(factor));
    bytes.ok_or_else(|| "it must be a whole number with a unit, such as 50GB".to_owned())
}

/// Reads a duration, such as 90s, 24h or 7days.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, humantime::DurationError> {
    humantime::parse_duration(text)
}

/// Reads a collection, such as app.bsky.feed.post, or the start of some, such as app.bsky.graph.*.
pub(crate) fn parse_collection(text: &str) -> Result<String, FilterError> {
    let text = text.trim();
    Filter::new().collections([text])?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(parse_bytes("1048576"), Ok(1 << 20));
        assert_eq!(parse_bytes("50GB"), Ok(50_000_000_000));
        assert_eq!(parse_bytes("10 GiB"), Ok(10 << 30));
        assert!(parse_bytes("ten").is_err() && parse_bytes("1.5GB").is_err());
        assert!(parse_bytes("99999999999TB").is_err());
    }

    #[test]
    fn a_collection_is_whole_or_the_start_of_some() {
        for text in ["app.bsky.feed.post", " app.bsky.graph.*"] {
            assert_eq!(parse_collection(text).unwrap(), text.trim());
        }
        for text in ["", "post", "*", "app.bsky.*.post", "app.bsky.feed.po*"] {
            assert!(parse_collection(text).is_err(), "{text}");
        }
    }
}
