//! A set of accounts that is read without locks while it changes.

mod members;
mod sync;
mod table;

use std::fmt;
use std::sync::{Arc, PoisonError};

use self::members::{Member, Members};
use self::sync::{AtomicU64, AtomicUsize, Mutex, MutexGuard, Ordering};
use self::table::Bits;
use crate::filter_error::FilterError;
use crate::syntax::{Did, IdentifierError};

/// A set of accounts of any size, shared between the code that changes it and the filters that use
/// it.
///
/// A clone is the same set. A look-up takes tens of nanoseconds and never waits, also while the set
/// is being changed: changes hold from the moment that they return. A `did:plc`, which
/// nearly every account has, takes 20 to 24 bytes.
///
/// [`Filter::did_set`](crate::Filter::did_set) puts it into a filter. It can be in many at once.
///
/// # Examples
///
/// ```
/// use jetwash_event::{DidSet, Filter};
///
/// let set = DidSet::new();
/// let filter = Filter::new().did_set(set.clone());
/// assert!(!filter.matches_did("did:plc:ewvi7nxzyoun6zhxrhs64oiz"));
///
/// let change = set.add("did:plc:ewvi7nxzyoun6zhxrhs64oiz")?;
/// assert_eq!((change.count(), change.version()), (1, 1));
/// assert!(filter.matches_did("did:plc:ewvi7nxzyoun6zhxrhs64oiz"));
///
/// set.replace(["did:web:a.example"])?;
/// assert!(!filter.matches_did("did:plc:ewvi7nxzyoun6zhxrhs64oiz"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct DidSet {
    shared: Arc<Shared>,
}

struct Shared {
    members: Members,
    /// Counts replacements. An entry is in the set if it has the bit of the current one.
    generation: AtomicU64,
    len: AtomicUsize,
    version: AtomicU64,
    /// Held while changes are counted, so that version and length fit together.
    changing: Mutex<()>,
    /// Held by the one replacement that may be under way.
    replacing: Mutex<()>,
}

impl DidSet {
    /// Makes an empty set.
    #[must_use]
    pub fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                members: Members::new(),
                generation: AtomicU64::new(0),
                len: AtomicUsize::new(0),
                version: AtomicU64::new(0),
                changing: Mutex::new(()),
                replacing: Mutex::new(()),
            }),
        }
    }

    /// Whether an account is in the set. Text that is not a DID never is.
    #[inline]
    #[must_use]
    pub fn contains(&self, did: &str) -> bool {
        let Shared {
            members,
            generation,
            ..
        } = &*self.shared;
        loop {
            let before = generation.load(Ordering::Acquire);
            let is_in = members.bits(did) & bit_of(before) != 0;
            // Meanwhile the set may have been replaced, and the bit cleared for that.
            if generation.load(Ordering::Acquire) == before {
                return is_in;
            }
        }
    }

    /// How many accounts are in the set.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.len.load(Ordering::Acquire)
    }

    /// Whether no account is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many changes there have been. It grows after the change itself can be seen.
    #[inline]
    #[must_use]
    pub fn version(&self) -> u64 {
        self.shared.version.load(Ordering::Acquire)
    }

    /// The memory that the set takes, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        size_of::<Shared>() + self.shared.members.memory()
    }

    /// Adds an account.
    ///
    /// # Errors
    ///
    /// When the text is not a DID.
    pub fn add(&self, did: &str) -> Result<DidChange, IdentifierError> {
        Did::check(did)?;
        Ok(self.add_members(&[Member::new(did)]))
    }

    /// Adds accounts, one change in all.
    ///
    /// # Errors
    ///
    /// When a text is not a DID; then none is added.
    pub fn add_all<T: AsRef<str>>(
        &self,
        dids: impl IntoIterator<Item = T>,
    ) -> Result<DidChange, FilterError> {
        let members: Result<Vec<_>, _> = dids
            .into_iter()
            .map(|did| {
                let did = did.as_ref();
                Did::check(did).map_err(|error| FilterError::did(did, error))?;
                Ok(Member::new(did))
            })
            .collect();
        Ok(self.add_members(&members?))
    }

    /// Removes an account, if it is in the set.
    pub fn remove(&self, did: &str) -> DidChange {
        self.remove_members(&[Member::new(did)])
    }

    /// Removes accounts, as far as they are in the set, one change in all.
    pub fn remove_all<T: AsRef<str>>(&self, dids: impl IntoIterator<Item = T>) -> DidChange {
        let members = dids.into_iter().map(|did| Member::new(did.as_ref()));
        self.remove_members(&members.collect::<Vec<_>>())
    }

    /// Removes all accounts.
    pub fn clear(&self) -> DidChange {
        self.replacement().finish()
    }

    /// Puts other accounts in place of all that are in the set, at one moment: every look-up sees
    /// either all of the old or all of the new.
    ///
    /// # Errors
    ///
    /// When a text is not a DID; then the set stays as it was.
    pub fn replace<T: AsRef<str>>(
        &self,
        dids: impl IntoIterator<Item = T>,
    ) -> Result<DidChange, FilterError> {
        let mut replacement = self.replacement();
        for did in dids {
            let did = did.as_ref();
            replacement
                .add(did)
                .map_err(|error| FilterError::did(did, error))?;
        }
        Ok(replacement.finish())
    }

    /// Begins a replacement that is filled step by step, from a file for example.
    ///
    /// An account that was in the set before takes no further memory. Only one replacement can be
    /// under way: this blocks until the one before has ended. Changes made meanwhile hold until
    /// the replacement is complete, and are then replaced with the rest.
    pub fn replacement(&self) -> Replacement<'_> {
        let turn = self
            .shared
            .replacing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Replacement {
            set: self,
            bit: bit_of(self.shared.generation.load(Ordering::Acquire) + 1),
            len: 0,
            _turn: turn,
        }
    }

    /// The accounts in the set, in no order.
    ///
    /// An account that is added or removed meanwhile may or may not be among them.
    pub fn iter(&self) -> impl Iterator<Item = Did> {
        let bit = bit_of(self.shared.generation.load(Ordering::Acquire));
        let members = self.shared.members.with_bits(bit);
        // Texts were checked on their way in, so none is lost here.
        members.filter_map(|member| match member {
            Member::Plc(did) => did.to_string().try_into().ok(),
            Member::Other(did) => (*did).try_into().ok(),
        })
    }

    fn add_members(&self, members: &[Member]) -> DidChange {
        let shared = &*self.shared;
        let _changing = shared.begin_change();
        let bit = bit_of(shared.generation.load(Ordering::Relaxed));
        let is_new = |member: &&Member| shared.members.set(member, bit) & bit == 0;
        let count = members.iter().filter(is_new).count();
        shared.len.fetch_add(count, Ordering::Release);
        shared.end_change(count)
    }

    fn remove_members(&self, members: &[Member]) -> DidChange {
        let shared = &*self.shared;
        let _changing = shared.begin_change();
        let bit = bit_of(shared.generation.load(Ordering::Relaxed));
        let was_in = |member: &&Member| shared.members.clear(member, bit) & bit != 0;
        let count = members.iter().filter(was_in).count();
        shared.len.fetch_sub(count, Ordering::Release);
        shared.end_change(count)
    }
}

impl fmt::Debug for DidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DidSet")
            .field("len", &self.len())
            .field("version", &self.version())
            .finish_non_exhaustive()
    }
}

impl Default for DidSet {
    fn default() -> Self {
        Self::new()
    }
}

impl Shared {
    fn begin_change(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end_change(&self, count: usize) -> DidChange {
        let version = self.version.load(Ordering::Relaxed) + u64::from(count > 0);
        self.version.store(version, Ordering::Release);
        DidChange { version, count }
    }
}

/// The change that a call has made to a [`DidSet`]. It holds for every look-up that begins now.
///
/// The source of a stream can tell from which position on it holds: in `jetwash`,
/// `Jetstream::holds_from` does.
///
/// # Examples
///
/// ```
/// use jetwash_event::DidSet;
///
/// let set = DidSet::new();
/// let change = set.add_all(["did:web:a.example", "did:web:b.example"])?;
/// assert_eq!((change.count(), change.version()), (2, 1));
/// // Nothing to change, so the version stays.
/// let change = set.add("did:web:a.example")?;
/// assert_eq!((change.count(), change.version()), (0, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DidChange {
    version: u64,
    count: usize,
}

impl DidChange {
    /// The [version](DidSet::version) of the set with the change: the same as before if there was
    /// nothing to change.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// How many accounts were added or removed; of a replacement, how many there are now.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count
    }
}

/// A replacement of all that is in a [`DidSet`], being filled.
///
/// Dropped before [`finish`](Self::finish), it leaves the set as it was.
///
/// # Examples
///
/// ```
/// use jetwash_event::DidSet;
///
/// let set = DidSet::new();
/// set.add("did:web:a.example")?;
/// let mut replacement = set.replacement();
/// replacement.add("did:web:b.example")?;
/// assert!(set.contains("did:web:a.example") && !set.contains("did:web:b.example"));
/// replacement.finish();
/// assert!(!set.contains("did:web:a.example") && set.contains("did:web:b.example"));
/// # Ok::<(), jetwash_event::IdentifierError>(())
/// ```
#[must_use = "dropping it leaves the set as it was"]
pub struct Replacement<'a> {
    set: &'a DidSet,
    /// The bit of the generation after the current one.
    bit: Bits,
    len: usize,
    _turn: MutexGuard<'a, ()>,
}

impl Replacement<'_> {
    /// Adds an account and returns whether it was not there yet.
    ///
    /// # Errors
    ///
    /// When the text is not a DID.
    pub fn add(&mut self, did: &str) -> Result<bool, IdentifierError> {
        Did::check(did)?;
        let before = self.set.shared.members.set(&Member::new(did), self.bit);
        let is_new = before & self.bit == 0;
        self.len += usize::from(is_new);
        Ok(is_new)
    }

    /// How many accounts have been added.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether no account has been added.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Puts the accounts added in place of those in the set.
    ///
    /// It then clears away the old entries, in time that grows with the set: some hundred
    /// milliseconds for ten million.
    pub fn finish(self) -> DidChange {
        let shared = &*self.set.shared;
        let _changing = shared.begin_change();
        shared.generation.fetch_add(1, Ordering::AcqRel);
        shared.len.store(self.len, Ordering::Release);
        let version = shared.version.load(Ordering::Relaxed) + 1;
        shared.version.store(version, Ordering::Release);
        DidChange {
            version,
            count: self.len,
        }
    }
}

impl Drop for Replacement<'_> {
    fn drop(&mut self) {
        // Sweeps the old accounts, or the new ones if the replacement was given up.
        let shared = &*self.set.shared;
        let current = bit_of(shared.generation.load(Ordering::Acquire));
        shared.members.sweep(current);
    }
}

impl fmt::Debug for Replacement<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replacement")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

/// Two generations are told apart: the current one, and one that is being prepared or swept away.
#[inline]
const fn bit_of(generation: u64) -> Bits {
    1 << (generation & 1)
}
