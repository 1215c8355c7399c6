use serde_json::Value;
use thiserror::Error;

use crate::options::ServeOptions;
use crate::settings::{Settings, SettingsError};

/// Reads a text message from a subscriber: its new settings, or `None` if the message is of a type
/// that is not known.
///
/// Jetstream reads such messages with Go's JSON decoder, and so does this: keys are matched
/// whatever their case, unknown ones are ignored, and `null` stands for nothing.
pub(crate) fn parse_update(
    text: &str,
    options: &ServeOptions,
) -> Result<Option<Settings>, UpdateError> {
    let message: Value =
        serde_json::from_str(text).map_err(|error| UpdateError::Message(error.to_string()))?;
    let (kind, payload) = match &message {
        Value::Object(_) => (field(&message, "type"), field(&message, "payload")),
        Value::Null => (None, None),
        other => return Err(UpdateError::Message(wrong_type(other, "an object"))),
    };
    match kind {
        Some(Value::String(kind)) if kind == "options_update" => {}
        None | Some(Value::String(_) | Value::Null) => return Ok(None),
        Some(other) => return Err(UpdateError::Message(wrong_type(other, "a string as type"))),
    }
    let payload = match payload {
        None => return Err(UpdateError::Payload("there is no payload".to_owned())),
        Some(payload @ (Value::Object(_) | Value::Null)) => payload,
        Some(other) => return Err(UpdateError::Payload(wrong_type(other, "an object"))),
    };
    let collections = strings(payload, "wantedCollections")?;
    let dids = strings(payload, "wantedDids")?;
    let size = match field(payload, "maxMessageSizeBytes") {
        None | Some(Value::Null) => 0,
        Some(size) => size.as_i64().ok_or_else(|| {
            UpdateError::Payload(wrong_type(size, "an integer as maxMessageSizeBytes"))
        })?,
    };
    Ok(Some(Settings::new(&collections, &dids, size, options)?))
}

/// Why a message is refused: the reason that the connection is then closed with.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum UpdateError {
    #[error("failed to unmarshal subscriber sourced message: {0}")]
    Message(String),
    #[error("failed to unmarshal subscriber options update: {0}")]
    Payload(String),
    #[error("failed to parse subscriber options: {0}")]
    Settings(#[from] SettingsError),
}

/// A field by its name in any case; of several the last.
fn field<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    let fields = object.as_object()?;
    let exact = fields.get(name);
    exact.or_else(|| {
        fields
            .iter()
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .next_back()
    })
}

fn strings<'a>(payload: &'a Value, name: &'static str) -> Result<Vec<&'a str>, UpdateError> {
    let wrong = |value: &Value| {
        UpdateError::Payload(format!(
            "{name}: {}",
            wrong_type(value, "an array of strings")
        ))
    };
    match field(payload, name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(values)) => values
            .iter()
            .map(|value| match value {
                Value::Null => Ok(""),
                value => value.as_str().ok_or_else(|| wrong(value)),
            })
            .collect(),
        Some(other) => Err(wrong(other)),
    }
}

fn wrong_type(value: &Value, expected: &str) -> String {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    format!("expected {expected}, found {found}")
}
