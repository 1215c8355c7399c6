//! The JSON of a document, before any of it is believed.

use jetwash_event::Handle;
use serde::Deserialize;
use serde_json::Value;

use super::error::DocumentError;
use super::key::{KeyType, SigningKey};
use super::pds::PdsEndpoint;

/// Lists are kept as they come: one bad entry must not take the others with it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Raw {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    also_known_as: Value,
    #[serde(default)]
    verification_method: Value,
    #[serde(default)]
    service: Value,
}

impl Raw {
    pub(super) fn parse(json: &[u8]) -> Result<Self, DocumentError> {
        let length = json.len();
        if length > MAX_BYTES {
            return Err(DocumentError::TooLong { length });
        }
        if is_deeper_than(MAX_DEPTH, json) {
            return Err(DocumentError::TooDeep);
        }
        // Serde would read an array as the fields in their order.
        if json.trim_ascii_start().first() != Some(&b'{') {
            return Err(DocumentError::Json { line: 1, column: 1 });
        }
        // Of a field that is not wanted, serde does not look at the text.
        let text = std::str::from_utf8(json).map_err(|error| at(json, error.valid_up_to()))?;
        serde_json::from_str(text).map_err(|error| DocumentError::Json {
            line: error.line(),
            column: error.column(),
        })
    }

    /// The DID that it claims to be about.
    pub(super) fn id(&self) -> &str {
        self.id.as_str().unwrap_or_default()
    }

    pub(super) fn signing_key(&self) -> Option<SigningKey> {
        items(&self.verification_method).find_map(|method| {
            let is_ours =
                self.is_named(method, "#atproto") && text(method, "controller") == Some(self.id());
            let key_type = KeyType::from_name(text(method, "type").filter(|_| is_ours)?)?;
            SigningKey::new(key_type, text(method, "publicKeyMultibase")?)
        })
    }

    pub(super) fn pds(&self) -> Option<PdsEndpoint> {
        items(&self.service).find_map(|service| {
            let is_pds = self.is_named(service, "#atproto_pds")
                && text(service, "type") == Some("AtprotoPersonalDataServer");
            PdsEndpoint::parse(text(service, "serviceEndpoint").filter(|_| is_pds)?)
        })
    }

    pub(super) fn claimed_handle(&self) -> Option<Handle> {
        items(&self.also_known_as).find_map(|name| {
            let handle: Handle = name.as_str()?.strip_prefix("at://")?.parse().ok()?;
            Some(handle.normalized())
        })
    }

    /// Whether the `id` of an entry is this fragment, alone or after the DID.
    fn is_named(&self, entry: &Value, fragment: &str) -> bool {
        let id = text(entry, "id").unwrap_or_default();
        id == fragment || id.strip_prefix(self.id()) == Some(fragment)
    }
}

/// A mistake at an index.
fn at(json: &[u8], index: usize) -> DocumentError {
    let before = json.get(..index).unwrap_or(json);
    let breaks = before.iter().filter(|byte| **byte == b'\n').count();
    let start = before.iter().rposition(|byte| *byte == b'\n');
    DocumentError::Json {
        line: breaks + 1,
        column: index - start.map_or(0, |at| at + 1) + 1,
    }
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn text<'a>(entry: &'a Value, name: &str) -> Option<&'a str> {
    entry.get(name)?.as_str()
}

/// Whether brackets nest deeper than `limit`. Looked at before parsing, so that the depth of no
/// parser depends on a stranger.
fn is_deeper_than(limit: usize, json: &[u8]) -> bool {
    let (mut depth, mut is_text, mut is_escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_text => is_escaped = true,
            b'"' => is_text = !is_text,
            b'{' | b'[' if !is_text => depth += 1,
            b'}' | b']' if !is_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > limit {
            return true;
        }
    }
    false
}

pub(super) const MAX_BYTES: usize = 64 * 1024;
pub(super) const MAX_DEPTH: usize = 32;
