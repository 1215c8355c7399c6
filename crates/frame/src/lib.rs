//! The frames of `com.atproto.sync.subscribeRepos` and the CAR slices inside them, borrowed.
//!
//! A relay sends one frame per websocket message: two DAG-CBOR items, a header that names the type
//! and a payload. Three steps look at more and more of it, and none copies anything:
//!
//! 1. [`peek`] reads kind, sequence number and DID from the first bytes, which is all that a filter
//!    by account needs, and reads the paths of a commit's operations, which a filter by collection
//!    needs. It costs tens of nanoseconds.
//! 2. [`Frame::decode`] reads both items strictly, but of `blocks` only where they are.
//! 3. [`Car`] walks the blocks of a commit. A block is hashed only when the caller asks for it.
//!
//! [`LabelFrame::decode`] reads the frames of `com.atproto.label.subscribeLabels`, which a labeler
//! sends.
//!
//! The crate has no runtime, no clock and no socket: bytes go in, borrowed structs come out.
//!
//! Sources: the event stream, sync, repository and label specifications, and the lexicons of
//! `com.atproto.sync.subscribeRepos` and `com.atproto.label.subscribeLabels`.
//!
//! # Examples
//!
//! ```
//! use jetwash_frame::{Frame, peek};
//!
//! // {"t": "#identity", "op": 1} and {"did": "did:web:a.example", "seq": 7, "time": "…"}
//! let mut bytes = b"\xa2\x61t\x69#identity\x62op\x01".to_vec();
//! bytes.extend(b"\xa3\x63did\x71did:web:a.example\x63seq\x07\x64time\x742026-07-04T14:38:07Z");
//!
//! let peeked = peek(&bytes)?;
//! assert_eq!((peeked.seq, peeked.did), (Some(7), Some("did:web:a.example")));
//!
//! let Frame::Identity(identity) = Frame::decode(&bytes)? else { panic!("another frame") };
//! assert_eq!(identity.time, "2026-07-04T14:38:07Z");
//! assert_eq!(identity.handle, None);
//! # Ok::<(), jetwash_frame::FrameError>(())
//! ```

mod car;
mod error;
mod fields;
mod frame;
mod header;
mod label;
mod label_error;
mod message;
mod peek;
mod plain_commit;

pub use car::{Blocks, Car, CarBlock, CarError};
pub use error::{FrameError, Part};
pub use frame::{ErrorFrame, Frame, MAX_FRAME_BYTES, Unknown};
pub use header::FrameKind;
pub use label::{
    Label, LabelFrame, LabelsMessage, MAX_LABELS, MAX_SIGNATURE_BYTES, MAX_SUBJECT_BYTES,
    MAX_VALUE_BYTES,
};
pub use label_error::LabelFrameError;
pub use message::{
    AccountMessage, Action, CommitMessage, IdentityMessage, InfoMessage, MAX_BLOCKS_BYTES, MAX_OPS,
    MAX_SYNC_BLOCKS_BYTES, RepoOp, SyncMessage,
};
pub use peek::{Peek, peek};
