//! An independent writer of record JSON: by way of a tree, with no thought of speed.

use std::collections::BTreeMap;

use ipld_core::cid::multibase::{self, Base};
use ipld_core::cid::{CidGeneric, Version};
use ipld_core::ipld::Ipld;

/// Texts in place of a CID, and the canonical text of those that are one.
pub(crate) const CID_TEXTS: [(&str, Option<&str>); 9] = [
    (RAW_CID, Some(RAW_CID)),
    (
        "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi",
        Some("bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"),
    ),
    // Base58, worked out with another program.
    (
        "zdj7WWeQ43G6JJvLWQWZpyHuAMq6uYWRjkBXFad11vE2LHhQ7",
        Some("bafybeiasb5vpmaounyilfuxbd3lryvosl4yefqrfahsb2esg46q6tu6y5q"),
    ),
    (
        "QmbWqxBEKC3P8tqsKc98xmWNzrzDtRLMiMPL8wBuTGsMnR",
        Some("QmbWqxBEKC3P8tqsKc98xmWNzrzDtRLMiMPL8wBuTGsMnR"),
    ),
    ("QmbWqxBEKC3P8tqsKc98xmWNzrzDtRLMiMPL8wBuTGsMn0", None),
    (
        "bafkreiccldh766hwcnuxnf2wh6jgzepf2nlu2lvcllt63eww5p6chi4itz",
        None,
    ),
    ("bafkrei", None),
    (".", None),
    ("", None),
];

pub(crate) const RAW_CID: &str = "bafkreiccldh766hwcnuxnf2wh6jgzepf2nlu2lvcllt63eww5p6chi4ity";

/// Texts in place of base64, and the canonical text of those that are some.
pub(crate) const BASE64_TEXTS: [(&str, Option<&str>); 9] = [
    ("", Some("")),
    ("AQI", Some("AQI")),
    ("+/8A", Some("+/8A")),
    // The last digit has bits that no byte takes.
    ("AQJ", Some("AQI")),
    ("AQ\r\nI\n", Some("AQI")),
    ("AQI=", None),
    ("A", None),
    ("_-8A", None),
    ("A QI", None),
];

/// The JSON of a record, or `None` if an event cannot carry it.
pub(crate) fn record_json(record: &Ipld) -> Option<String> {
    match record {
        Ipld::Map(map) if special_json(map)?.is_none() => value_json(record),
        _ => None,
    }
}

fn value_json(value: &Ipld) -> Option<String> {
    match value {
        Ipld::Null => Some("null".to_owned()),
        Ipld::Bool(value) => Some(value.to_string()),
        Ipld::Integer(value) => i64::try_from(*value).ok().map(|value| value.to_string()),
        Ipld::Float(value) => {
            let is_integer = value.trunc() == *value
                && *value >= -9_223_372_036_854_775_808.0
                && *value < 9_223_372_036_854_775_808.0;
            is_integer.then(|| format!("{value:.0}"))
        }
        Ipld::String(text) => Some(string_json(text)),
        Ipld::Bytes(bytes) => {
            let digits = multibase::encode(Base::Base64, bytes);
            Some(format!(r#"{{"$bytes":"{}"}}"#, &digits[1..]))
        }
        Ipld::Link(cid) => Some(format!(r#"{{"$link":"{cid}"}}"#)),
        Ipld::List(items) => {
            let items: Option<Vec<String>> = items.iter().map(value_json).collect();
            Some(format!("[{}]", items?.join(",")))
        }
        Ipld::Map(map) => {
            if let Some(special) = special_json(map)? {
                return Some(special);
            }
            let entry =
                |(key, value): (&String, &Ipld)| Some((string_json(key), value_json(value)?));
            let entries: Option<BTreeMap<String, String>> = map.iter().map(entry).collect();
            let entries = entries?;
            let entries: Vec<String> = entries
                .iter()
                .map(|(key, value)| format!("{key}:{value}"))
                .collect();
            Some(format!("{{{}}}", entries.join(",")))
        }
    }
}

/// A map that stands for something else: `Some(None)` if it is a plain one, `None` if it is wrong.
fn special_json(map: &BTreeMap<String, Ipld>) -> Option<Option<String>> {
    if map.contains_key("$link") {
        return link_json(map).map(Some);
    }
    if let Some(text) = map.get("$bytes") {
        let (1, Ipld::String(text)) = (map.len(), text) else {
            return None;
        };
        return value_json(&Ipld::Bytes(base64_bytes(text)?)).map(Some);
    }
    match map.get("$type") {
        None => {}
        Some(Ipld::String(name)) if name == "blob" => return blob_json(map).map(Some),
        Some(Ipld::String(name)) if !name.is_empty() => {}
        Some(_) => return None,
    }
    if let (2, Some(cid), Some(mime_type)) = (map.len(), map.get("cid"), map.get("mimeType")) {
        let Ipld::String(mime_type) = mime_type else {
            return None;
        };
        let cid = match cid {
            Ipld::String(text) => canonical_cid(text)?,
            Ipld::Link(cid) => cid.to_string(),
            Ipld::Bytes(bytes) => {
                let cid: CidGeneric<128> = bytes[..].try_into().ok()?;
                let is_whole = cid.encoded_len() == bytes.len() && cid.version() == Version::V1;
                (is_whole && is_plausible(&cid)).then(|| cid.to_string())?
            }
            _ => return None,
        };
        return Some(Some(old_blob_json(&cid, mime_type)));
    }
    Some(None)
}

fn link_json(map: &BTreeMap<String, Ipld>) -> Option<String> {
    let (1, Some(Ipld::String(text))) = (map.len(), map.get("$link")) else {
        return None;
    };
    let cid = canonical_cid(text)?;
    Some(format!(r#"{{"$link":"{cid}"}}"#))
}

fn blob_json(map: &BTreeMap<String, Ipld>) -> Option<String> {
    let (4, Some(link), Some(Ipld::String(mime_type)), Some(size)) = (
        map.len(),
        map.get("ref"),
        map.get("mimeType"),
        map.get("size"),
    ) else {
        return None;
    };
    let link = match link {
        Ipld::Link(cid) => format!(r#"{{"$link":"{cid}"}}"#),
        Ipld::Map(map) => link_json(map)?,
        _ => return None,
    };
    let (Ipld::Integer(_) | Ipld::Float(_)) = size else {
        return None;
    };
    let size = value_json(size)?;
    if size.starts_with('-') {
        let cid = link.strip_prefix(r#"{"$link":""#)?.strip_suffix(r#""}"#)?;
        return Some(old_blob_json(cid, mime_type));
    }
    let mime_type = string_json(mime_type);
    Some(format!(
        r#"{{"$type":"blob","ref":{link},"mimeType":{mime_type},"size":{size}}}"#
    ))
}

fn old_blob_json(cid: &str, mime_type: &str) -> String {
    let mime_type = string_json(mime_type);
    format!(r#"{{"cid":"{cid}","mimeType":{mime_type}}}"#)
}

/// The text of a CID in the base that it is shown in: base32 for version 1, base58 for version 0.
/// These two and base58 for version 1 are read, each in its one canonical form.
fn canonical_cid(text: &str) -> Option<String> {
    let cid: CidGeneric<128> = text.parse().ok()?;
    let base = match text.as_bytes()[0] {
        b'z' => Base::Base58Btc,
        _ if cid.version() == Version::V0 => Base::Base58Btc,
        _ => Base::Base32Lower,
    };
    let same = cid.to_string_of_base(base).ok()? == text;
    (same && is_plausible(&cid)).then(|| cid.to_string())
}

/// Checks a CID in bytes beyond what the library checks.
pub(crate) fn is_plausible<const SIZE: usize>(cid: &CidGeneric<SIZE>) -> bool {
    let (code, size) = (cid.hash().code(), cid.hash().size());
    let is_sha256 = code == 0x12;
    size > 0 && (!is_sha256 || size == 32) && cid.encoded_len() <= 100
}

/// Base64 without padding, as Go's lax decoder reads it: line ends and odd last bits are no matter.
fn base64_bytes(text: &str) -> Option<Vec<u8>> {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text.chars().filter(|&digit| digit != '\r' && digit != '\n');
    let digits: Option<Vec<usize>> = digits.map(|digit| ALPHABET.find(digit)).collect();
    let digits = digits?;
    let bits: Vec<u8> = digits
        .iter()
        .flat_map(|digit| (0..6).rev().map(move |bit| (digit >> bit & 1) as u8))
        .collect();
    let byte = |bits: &[u8]| bits.iter().fold(0, |byte, bit| byte << 1 | bit);
    (digits.len() % 4 != 1).then(|| bits.chunks_exact(8).map(byte).collect())
}

fn string_json(text: &str) -> String {
    let mut json = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                json.push_str(&format!("\\u{:04x}", u32::from(character)));
            }
            _ => json.push(character),
        }
    }
    json.push('"');
    json
}
