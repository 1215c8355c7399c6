//! The changes of an AT Protocol commit: the records its operations name, and the Merkle search
//! tree around them.
//!
//! A repository is a sorted map from paths (`collection/rkey`) to record CIDs, kept as a Merkle
//! search tree whose shape depends on the keys alone. The crate has four parts:
//!
//! - [`leaves`] returns the records that a commit's operations name, each found in the commit's
//!   slice and hashed, after a look at the commit itself.
//! - [`Node`] reads and writes one tree node, and refuses any that a correct writer cannot make.
//! - [`Walk`] goes through a tree in key order over the blocks of a CAR file, whole or partial.
//! - [`Tree`] is a tree in memory that can be changed, and that knows which nodes a change made
//!   and which ones prove it.
//!
//! The crate has no runtime, no clock and no socket.
//!
//! Sources: the repository and sync specifications.
//!
//! # Examples
//!
//! A change, the nodes it made, and a walk over just those:
//!
//! ```
//! use jetwash_cbor::{Cid, Codec};
//! use jetwash_mst::{BlockIndex, Tree, Walk};
//!
//! let record = Cid::of(Codec::DagCbor, &[0xa0]);
//! let before = Tree::new();
//! let mut after = before.clone();
//! after.insert(b"app.bsky.feed.post/3mptbyplj5d2a", record)?;
//!
//! let mut index = BlockIndex::new();
//! for node in after.new_nodes(&before) {
//!     index.insert(node.cid.as_link(), node.bytes);
//! }
//! let paths: Vec<_> = Walk::new(&index, after.root())
//!     .map(|step| step.map(|entry| entry.key.to_vec()))
//!     .collect::<Result<_, _>>()?;
//! assert_eq!(paths, [b"app.bsky.feed.post/3mptbyplj5d2a"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod blocks;
mod commit_error;
mod commit_object;
mod height;
mod leaves;
mod node;
mod op_error;
mod tree;
mod walk;

pub use blocks::{BlockIndex, BlockSource};
pub use commit_error::CommitError;
pub use commit_object::{CommitObject, CommitObjectError};
pub use height::key_height;
pub use leaves::{
    BlockCheck, Leaf, LeafChange, Leaves, RecordBlock, leaves, leaves_of, sync_object,
};
pub use node::{
    MAX_HEIGHT, MAX_KEY_BYTES, MAX_NODE_ENTRIES, Node, NodeEntry, NodeError, write_node,
};
pub use op_error::{OpError, OpFault};
pub use tree::{InvalidKey, Iter, NodeBlock, Tree};
pub use walk::{LeafError, Walk, WalkEntry, WalkError};
