//! CIDs as the text that they have in JSON.

use jetwash_cbor::Cid;
use serde::{Deserialize, Deserializer, Serializer};
use std::borrow::Cow;

pub(crate) fn serialize<S: Serializer>(
    cid: &Option<Cid>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match cid {
        Some(cid) => serializer.collect_str(cid),
        None => serializer.serialize_none(),
    }
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Cid>, D::Error> {
    let text: Option<Cow<'_, str>> = Option::deserialize(deserializer)?;
    let parse = |text: Cow<'_, str>| {
        let fail = |error| serde::de::Error::custom(format!("the CID `{text}`: {error}"));
        text.parse().map_err(fail)
    };
    text.map(parse).transpose()
}
