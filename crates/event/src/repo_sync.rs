use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base64::{decode_base64, write_base64};
use crate::syntax::Tid;

/// A new state of an account's repository, which does not follow from the commits before it.
///
/// The account's host says so after an incident, a migration or a repair, and it may have lost or
/// gained any records. A program that keeps records of the account fetches the repository again
/// (`com.atproto.sync.getRepo`).
///
/// # Examples
///
/// ```
/// use jetwash_event::{Body, ParsedEvent};
///
/// let line = concat!(
///     r#"{"did":"did:web:a.example","time_us":1,"kind":"sync","sync":{"#,
///     r#""blocks":{"$bytes":"oA"},"did":"did:web:a.example","rev":"3l3qo2vutsw2b","seq":7,"#,
///     r#""time":"2026-07-04T14:38:07Z"}}"#,
/// );
/// let event: ParsedEvent = serde_json::from_str(line)?;
/// if let Body::Sync(sync) = &event.body {
///     assert_eq!((sync.rev.as_str(), &*sync.blocks), ("3l3qo2vutsw2b", &b"\xa0"[..]));
/// }
/// assert_eq!(serde_json::to_string(&event)?, line);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepoSync {
    /// The signed commit object, in a CAR slice; empty if a Jetstream upstream left it out.
    pub blocks: Arc<[u8]>,
    /// The revision of the repository now.
    pub rev: Tid,
    /// The number of the message in the sequence of the upstream relay.
    pub seq: u64,
    /// When the upstream relay sent it.
    pub time: Arc<str>,
}

/// Bytes as JSON has them.
#[derive(Deserialize, Serialize)]
pub(crate) struct JsonBytes {
    #[serde(rename = "$bytes")]
    base64: String,
}

impl JsonBytes {
    pub(crate) fn encode(bytes: &[u8]) -> Self {
        let mut base64 = Vec::new();
        write_base64(bytes, &mut base64);
        // Its digits are ASCII.
        let base64 = String::from_utf8(base64).unwrap_or_default();
        Self { base64 }
    }

    /// Returns `None` if it is not base64.
    pub(crate) fn decode(&self) -> Option<Arc<[u8]>> {
        decode_base64(&self.base64).map(Arc::from)
    }
}
