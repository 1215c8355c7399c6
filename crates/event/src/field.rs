use serde::Deserialize;
use serde_json::value::RawValue;

/// A field as the type that it should have; `None` if it has another.
pub(crate) fn parse<'a, T: Deserialize<'a>>(field: Option<&'a RawValue>) -> Option<T> {
    serde_json::from_str(field?.get()).ok()
}
