//! Whether a frame of `com.atproto.sync.subscribeRepos` is true: a state machine without I/O.
//!
//! A relay can send anything. Whether the account itself said it can be checked: the commit is
//! signed, the tree in its blocks proves the operations, and revisions and roots chain. This crate
//! does all of that on decoded frames. Keys, times and stored states are passed in; [`Outcome`]
//! says what came of it, and what is needed to say more.
//!
//! The checks, in the order in which they fail cheapest:
//!
//! 1. The fields and operations of the frame: syntax, and what fits together.
//! 2. Whether the account is active, and the revision newer than the stored one: [`Skip`].
//! 3. Whether the revision lies in the future by more than five minutes.
//! 4. The blocks: a CAR file, each block hashed, and the commit object that the frame speaks of.
//! 5. The proof: the operations undone on the tree lead to `prevData`: [`Proof`].
//! 6. The signature of the commit object: [`PublicKey`], [`SignatureCheck`].
//! 7. The chain: `since` and `prevData` are the stored revision and root: [`RepoState`].
//!
//! [`Verifier::verify`] does all of them. Step by step, 3 to 5 give a [`Claim`], which borrows
//! nothing: its signature can be checked on another thread and without knowing the others, and only
//! [`Claim::judge`] needs the frames of an account in order.
//!
//! A [`Policy`] says which verdicts are delivered: a plain function of a [`Verdict`].
//!
//! The crate has no runtime, no clock, no socket and no file.
//!
//! Sources: the sync, repository and cryptography specifications, and proposal 0006.
//!
//! # Examples
//!
//! The key of an account, from its DID document:
//!
//! ```
//! use jetwash_verify::PublicKey;
//!
//! let key = PublicKey::from_verification_method(
//!     "Multikey",
//!     "zQ3shrc8v5X6ZiANcZxA6JerfT2T4SskeCGxpmtDfMuHF9KRj",
//! )?;
//! assert!(key.verify(b"a message", &[1; 64]).is_err());
//! # Ok::<(), jetwash_verify::KeyError>(())
//! ```
//!
//! Frames, judged one after another:
//!
//! ```
//! use std::collections::HashMap;
//!
//! use jetwash_event::Micros;
//! use jetwash_frame::Frame;
//! use jetwash_verify::{Known, KnownKey, Outcome, PublicKey, RepoState, Verdict, Verifier};
//!
//! #[derive(Default)]
//! struct Accounts {
//!     verifier: Verifier,
//!     keys: HashMap<String, PublicKey>,
//!     states: HashMap<String, RepoState>,
//! }
//!
//! impl Accounts {
//!     fn judge(&mut self, bytes: &[u8], now: Micros) -> Option<Verdict> {
//!         let frame = Frame::decode(bytes).ok()?;
//!         let did = match &frame {
//!             Frame::Commit(commit) => commit.repo,
//!             Frame::Sync(sync) => sync.did,
//!             _ => return None,
//!         };
//!         let known = Known {
//!             state: self.states.get(did),
//!             key: self.keys.get(did).map_or(KnownKey::Unavailable, KnownKey::Fresh),
//!             ..Known::default()
//!         };
//!         let outcome = self.verifier.verify(&frame, &known, now);
//!         let Outcome::Judged(judgement) = outcome else { return None };
//!         if let Some(state) = judgement.state {
//!             self.states.insert(did.to_owned(), state);
//!         }
//!         Some(judgement.verdict)
//!     }
//! }
//! # assert_eq!(Accounts::default().judge(b"", Micros::EPOCH), None);
//! ```

mod claim;
mod key;
mod outcome;
mod policy;
mod proof;
mod reason;
mod shape;
mod signature;
mod state;
mod verdict;
mod verifier;

pub use claim::{Claim, Proof, SignatureCheck};
pub use key::{KeyError, PublicKey};
pub use outcome::{Judgement, Known, KnownKey, Need, Outcome, Skip};
pub use policy::{ParsePolicyError, Policy};
pub use reason::Reason;
pub use signature::{Curve, SignatureError};
pub use state::{HostingState, RepoState, StateError};
pub use verdict::Verdict;
pub use verifier::{Structure, Verifier};
