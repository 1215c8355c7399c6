use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::ResolveErrorKind;

/// Counts since the start, and the state now.
///
/// Every question is counted once, under `hits`, `stale`, `negative`, `joined`, `look_ups`, or as
/// an error of the kinds `busy`, `invalid_did` and `unsupported_method`.
///
/// # Examples
///
/// ```
/// use jetwash_identity::{IdentityOptions, ResolveErrorKind};
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// let identities = IdentityOptions::new().start()?;
/// let unknown = identities.resolve(&"did:key:z6Mk".parse()?).await;
/// assert!(unknown.is_err());
/// let snapshot = identities.snapshot();
/// assert_eq!(snapshot.errors(ResolveErrorKind::UnsupportedMethod), 1);
/// assert_eq!(snapshot.requests, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct IdentitySnapshot {
    /// Questions that memory answered with a fresh document.
    pub hits: u64,
    /// Questions that memory answered with an old document, while it is looked up again.
    pub stale: u64,
    /// Questions that memory answered with the error of an earlier look-up.
    pub negative: u64,
    /// Questions that waited for a look-up that was under way already.
    pub joined: u64,
    /// Questions that began a look-up, which tries the disk first.
    pub look_ups: u64,
    /// Look-ups that the disk answered.
    pub disk_hits: u64,
    /// Look-ups of old documents, which nobody waits for.
    pub refreshes: u64,
    /// Requests that were sent to directories and hosts.
    pub requests: u64,
    /// Questions to the [`DocumentSource`](crate::DocumentSource).
    pub sourced: u64,
    /// Documents that were forgotten because they were told to have changed.
    pub invalidations: u64,
    /// Suspicions that led to a fresh look-up.
    pub suspicions: u64,
    /// Suspicions that did not: too soon after another.
    pub suspicions_refused: u64,
    /// Handles that were checked.
    pub handles: u64,
    /// Times that the disk could not be read or written to.
    pub disk_errors: u64,
    /// Documents that were too long for the disk.
    pub not_kept: u64,
    /// Operations that were taken from the export of a directory.
    pub exported: u64,
    /// Lines of an export that could not be read, and endings of its pages and its stream.
    pub export_failures: u64,
    /// Entries in memory.
    pub entries: u64,
    /// Bytes that the entries in memory take.
    pub bytes: u64,
    /// Look-ups under way or waiting.
    pub under_way: u64,
    errors: [u64; ResolveErrorKind::ALL.len()],
}

impl IdentitySnapshot {
    /// How many look-ups or questions ended in an error of this kind.
    #[must_use]
    pub fn errors(&self, kind: ResolveErrorKind) -> u64 {
        self.errors.get(kind as usize).copied().unwrap_or_default()
    }
}

/// The counters behind a snapshot.
#[derive(Default)]
pub(crate) struct Counters {
    counts: [AtomicU64; Count::Total as usize],
    errors: [AtomicU64; ResolveErrorKind::ALL.len()],
}

/// The name of a counter.
#[derive(Clone, Copy)]
pub(crate) enum Count {
    Hit,
    Stale,
    Negative,
    Joined,
    LookUp,
    DiskHit,
    Refresh,
    Request,
    Sourced,
    Invalidation,
    Suspicion,
    SuspicionRefused,
    Handle,
    DiskError,
    NotKept,
    Exported,
    ExportFailure,
    /// How many there are.
    Total,
}

impl Counters {
    pub(crate) fn count(&self, what: Count) {
        self.counts[what as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn error(&self, kind: ResolveErrorKind) {
        self.errors[kind as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> IdentitySnapshot {
        let get = |what: Count| self.counts[what as usize].load(Ordering::Relaxed);
        IdentitySnapshot {
            hits: get(Count::Hit),
            stale: get(Count::Stale),
            negative: get(Count::Negative),
            joined: get(Count::Joined),
            look_ups: get(Count::LookUp),
            disk_hits: get(Count::DiskHit),
            refreshes: get(Count::Refresh),
            requests: get(Count::Request),
            sourced: get(Count::Sourced),
            invalidations: get(Count::Invalidation),
            suspicions: get(Count::Suspicion),
            suspicions_refused: get(Count::SuspicionRefused),
            handles: get(Count::Handle),
            disk_errors: get(Count::DiskError),
            not_kept: get(Count::NotKept),
            exported: get(Count::Exported),
            export_failures: get(Count::ExportFailure),
            errors: std::array::from_fn(|kind| self.errors[kind].load(Ordering::Relaxed)),
            ..IdentitySnapshot::default()
        }
    }
}
