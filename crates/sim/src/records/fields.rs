use crate::value::Value;

/// The fields of a record, in any order.
pub(super) type Fields = Vec<(&'static str, Value)>;
