//! The lines of an export, and what they say. Source: the did:plc method, v0.3.

use jetwash_event::{Datetime, Did, Handle};
use serde::Deserialize;
use serde_json::Value;

use crate::cache::Change;
use crate::document::{DidDocument, KeyType, PdsEndpoint, SigningKey};

/// One line of an export.
pub(super) struct Operation {
    pub(super) seq: u64,
    /// `None` if the line changes nothing: it was nullified, or is not of a kind that is known.
    pub(super) change: Option<Change>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    seq: u64,
    did: Did,
    operation: Value,
    #[serde(default)]
    nullified: bool,
    #[serde(default)]
    created_at: String,
}

impl Operation {
    /// `None` if the line cannot be read.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        if line.len() > DidDocument::MAX_BYTES {
            return None;
        }
        let line: Line = serde_json::from_slice(line).ok()?;
        let at_ms = millis(&line.created_at).unwrap_or_default();
        let document = match line.operation.get("type").and_then(Value::as_str) {
            _ if line.nullified => None,
            Some("plc_operation") => Some(Some(current(&line.did, &line.operation))),
            Some("create") => Some(Some(legacy(&line.did, &line.operation))),
            Some("plc_tombstone") => Some(None),
            _ => None,
        };
        let change = document.map(|document| Change {
            did: line.did,
            document,
            at_ms,
        });
        let seq = line.seq;
        Some(Self { seq, change })
    }
}

fn current(did: &Did, operation: &Value) -> DidDocument {
    let text = |path: &str| operation.pointer(path).and_then(Value::as_str);
    let key = text("/verificationMethods/atproto").and_then(key);
    let is_pds = text("/services/atproto_pds/type") == Some("AtprotoPersonalDataServer");
    let endpoint = text("/services/atproto_pds/endpoint").filter(|_| is_pds);
    let names = operation.get("alsoKnownAs").and_then(Value::as_array);
    let handle = names.into_iter().flatten().find_map(|name| {
        let name: Handle = name.as_str()?.strip_prefix("at://")?.parse().ok()?;
        Some(name.normalized())
    });
    let pds = endpoint.and_then(PdsEndpoint::parse);
    DidDocument::from_parts(did.clone(), key, pds, handle)
}

/// The form of the first operations, in which some things are without their scheme.
fn legacy(did: &Did, operation: &Value) -> DidDocument {
    let text = |name: &str| operation.get(name).and_then(Value::as_str);
    let pds = text("service").and_then(|service| {
        if service.starts_with("http://") || service.starts_with("https://") {
            PdsEndpoint::parse(service)
        } else {
            PdsEndpoint::parse(&format!("https://{service}"))
        }
    });
    let handle = text("handle").and_then(|handle| {
        let handle: Handle = handle.trim_start_matches("at://").parse().ok()?;
        Some(handle.normalized())
    });
    DidDocument::from_parts(did.clone(), text("signingKey").and_then(key), pds, handle)
}

fn key(did_key: &str) -> Option<SigningKey> {
    SigningKey::new(KeyType::Multikey, did_key.strip_prefix("did:key:")?)
}

/// Milliseconds since 1970 of a time in UTC.
fn millis(text: &str) -> Option<u64> {
    Datetime::check(text).ok()?;
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<u64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let fraction = text.get(19..)?.strip_suffix('Z')?;
    let fraction = format!("{:0<3}", fraction.trim_start_matches('.'));
    let fraction: u64 = fraction.get(..3)?.parse().ok()?;
    // Years that begin in March have their leap day at the end.
    let (year, month) = match month {
        1 | 2 => (year.checked_sub(1)?, month + 9),
        _ => (year, month.checked_sub(3)?),
    };
    let leap_days = year / 4 - year / 100 + year / 400;
    let days = year * 365 + leap_days + (month * 153 + 2) / 5 + day;
    let days = days.checked_sub(DAYS_TO_1970 + 1)?;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + fraction)
}

/// From March of the year 0.
const DAYS_TO_1970: u64 = 719_468;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        // By hand: `date -u -d … +%s`.
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2022-11-17T01:07:13.996Z", 1_668_647_233_996),
            ("2024-02-29T23:59:59.9Z", 1_709_251_199_900),
            ("2024-03-01T00:00:00.123456Z", 1_709_251_200_123),
            ("2026-12-31T12:00:00.000Z", 1_798_718_400_000),
        ] {
            assert_eq!(millis(text), Some(expected), "{text}");
        }
        for text in [
            "",
            "2024",
            "1969-12-31T23:59:59Z",
            "2024-03-01T00:00:00+01:00",
        ] {
            assert_eq!(millis(text), None, "{text}");
        }
    }

    fn document(operation: &str) -> DidDocument {
        let line = format!(
            r#"{{"seq":7,"did":"did:plc:ewvi7nxzyoun6zhxrhs64oiz","createdAt":"x",
                "operation":{operation}}}"#
        );
        let operation = Operation::parse(line.as_bytes()).unwrap();
        assert_eq!(operation.seq, 7);
        operation.change.unwrap().document.unwrap()
    }

    #[test]
    fn operations_of_both_forms_are_documents() {
        let current = document(
            r#"{"type":"plc_operation","verificationMethods":{"atproto":"did:key:zKey"},
                "alsoKnownAs":["https://a.test","at://A.test"],"services":{"atproto_pds":
                {"type":"AtprotoPersonalDataServer","endpoint":"https://pds.test/"}}}"#,
        );
        let legacy = document(
            r#"{"type":"create","signingKey":"did:key:zKey","handle":"a.test",
                "service":"pds.test"}"#,
        );
        assert_eq!(current, legacy);
        assert_eq!(current.signing_key().unwrap().multibase(), "zKey");
        assert_eq!(current.pds().unwrap().as_str(), "https://pds.test");
        assert_eq!(current.claimed_handle().unwrap(), &"a.test");
        let empty = document(r#"{"type":"plc_operation"}"#);
        assert_eq!((empty.signing_key(), empty.pds()), (None, None));
    }

    #[test]
    fn what_changes_nothing_or_cannot_be_read_is_told_apart() {
        let line = |rest: &str| {
            let line = format!(r#"{{"seq":1,"did":"did:plc:a",{rest}}}"#);
            Some(Operation::parse(line.as_bytes())?.change)
        };
        let tombstone = line(r#""operation":{"type":"plc_tombstone"}"#);
        assert!(tombstone.unwrap().unwrap().document.is_none());
        let nullified = r#""nullified":true,"operation":{"type":"plc_tombstone"}"#;
        assert!(line(nullified).unwrap().is_none());
        assert!(line(r#""operation":{"type":"novelty"}"#).unwrap().is_none());
        assert!(line(r#""operation":7"#).unwrap().is_none());
        for unreadable in [
            &b""[..],
            b"{}",
            b"[]",
            b"\xff",
            b"{\"seq\":-1}",
            &[b'['; 70_000],
        ] {
            assert!(Operation::parse(unreadable).is_none());
        }
    }
}
