use std::ops::RangeInclusive;
use std::thread;
use std::time::Duration;

use jetwash_identity::Identities;
use jetwash_verify::Policy;

/// The verification of what relays send: signatures, proofs and chains.
///
/// Without it, an event is what the relay says it is. With it, commits are verified before they go
/// into the log, and each event carries its [verdict](crate::Event::verdict). What is invalid is
/// dropped, and counted by its reason in [`Snapshot::invalid`](crate::Snapshot::invalid).
///
/// | | checks | drops |
/// | --- | --- | --- |
/// | [`off`](Self::off) | only the hashes of blocks | nothing |
/// | [`structure`](Self::structure) | form, blocks, tree and proof | what is invalid |
/// | [`lenient`](Self::lenient) | signature and chain too | what is invalid |
/// | [`strict`](Self::strict) | the same | all that is not verified |
///
/// `#identity` and `#account` are not signed, so they have no verdict and are passed on. A `#sync` that
/// is signed is delivered by `lenient` and `strict`, also if it is
/// [discontinuous](jetwash_verify::Verdict::Discontinuous), as it is there to say that; one that is
/// older than the account's state is not.
///
/// Signatures are checked by [workers](Self::workers), and the log keeps the order of the relay. A
/// commit whose key is not known yet is held while the key is looked up, with all that follows of
/// its account; the other accounts continue. After [`hold_for`](Self::hold_for), or when more than
/// [`hold_bytes`](Self::hold_bytes) are held, it is `unresolved`. What is held when the process ends
/// is not lost: the stored cursor of its source is before it, so it comes again. Frames without a
/// number are `unresolved` then.
///
/// A chain needs every commit of an account. With an ingest filter for collections, or one that is a
/// closure, chains are not checked. The state of a repository is stored in the same batch as its
/// events, and only what the account has signed changes it.
///
/// # Examples
///
/// ```no_run
/// use jetwash::identity::{FileCache, IdentityOptions};
/// use jetwash::{Jetstream, Verify};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let identities = IdentityOptions::new().disk(FileCache::open("identities", 1 << 30)?).start()?;
/// let (jetstream, ingest) = Jetstream::builder()
///     .relay("relay1.us-east.bsky.network")
///     .verify(Verify::lenient(identities))
///     .build()?;
/// # drop((jetstream, ingest));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Verify {
    pub(crate) policy: Policy,
    pub(crate) identities: Option<Identities>,
    pub(crate) workers: Option<usize>,
    pub(crate) hold_for: Duration,
    pub(crate) hold_bytes: usize,
}

impl Verify {
    /// Verifies nothing, which costs nothing.
    #[must_use]
    pub const fn off() -> Self {
        Self::new(Policy::Off, None)
    }

    /// Verifies what needs neither key nor history. What passes is
    /// [`Unresolved`](jetwash_verify::Verdict::Unresolved), since no signature was checked.
    #[must_use]
    pub const fn structure() -> Self {
        Self::new(Policy::Structure, None)
    }

    /// Verifies all, drops what is invalid, and delivers the rest with its verdict.
    ///
    /// A signed commit of an account that is said to be inactive is delivered: that it is inactive is
    /// the relay's word alone.
    #[must_use]
    pub const fn lenient(identities: Identities) -> Self {
        Self::new(Policy::Lenient, Some(identities))
    }

    /// Verifies all, and delivers only what is [`Verified`](jetwash_verify::Verdict::Verified).
    ///
    /// Hosts that are older than Sync 1.1, and accounts whose key cannot be looked up, are not
    /// delivered at all.
    #[must_use]
    pub const fn strict(identities: Identities) -> Self {
        Self::new(Policy::Strict, Some(identities))
    }

    /// Sets the number of threads that verify, from 1 to 64. Defaults to one less than the machine
    /// has processors, and at least one.
    #[must_use]
    pub const fn workers(mut self, count: usize) -> Self {
        self.workers = Some(count);
        self
    }

    /// Sets how long a frame may wait for a key. Defaults to 10 seconds.
    #[must_use]
    pub const fn hold_for(mut self, time: Duration) -> Self {
        self.hold_for = time;
        self
    }

    /// Sets how many bytes of frames may wait for keys, from 64 KiB to 1 GiB. Defaults to 16 MiB. No
    /// more than 8,192 frames wait.
    #[must_use]
    pub const fn hold_bytes(mut self, bytes: usize) -> Self {
        self.hold_bytes = bytes;
        self
    }

    /// Returns the policy.
    #[must_use]
    pub const fn policy(&self) -> Policy {
        self.policy
    }

    const fn new(policy: Policy, identities: Option<Identities>) -> Self {
        Self {
            policy,
            identities,
            workers: None,
            hold_for: Duration::from_secs(10),
            hold_bytes: 16 << 20,
        }
    }

    pub(crate) fn worker_count(&self) -> usize {
        let processors = || thread::available_parallelism().map_or(1, usize::from);
        let count = self.workers.unwrap_or_else(|| processors() - 1);
        count.clamp(*WORKERS.start(), *WORKERS.end())
    }
}

impl Default for Verify {
    fn default() -> Self {
        Self::off()
    }
}

pub(crate) const WORKERS: RangeInclusive<usize> = 1..=64;
pub(crate) const HOLD_BYTES: RangeInclusive<usize> = 1 << 16..=1 << 30;
