//! The parts that threads share: those of the standard library, or those of loom, which tries every
//! order in which threads can meet. `--cfg jetwash_loom` chooses loom; see `tests/loom.rs`.

#[cfg(not(jetwash_loom))]
mod chosen {
    pub(crate) use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
    pub(crate) use std::sync::{Mutex, MutexGuard, RwLock};

    pub(crate) use arc_swap::ArcSwap;
    pub(crate) use foldhash::fast::RandomState as Hashing;

    /// Enough that a table of a set of ten million is rebuilt in a few milliseconds.
    pub(crate) const TABLES: usize = 256;
}

#[cfg(jetwash_loom)]
mod chosen {
    use std::sync::{Arc, PoisonError};

    pub(crate) use loom::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
    pub(crate) use loom::sync::{Mutex, MutexGuard, RwLock};

    /// Without chance, as loom runs a model many times.
    pub(crate) use foldhash::fast::FixedState as Hashing;

    /// A step of a model for each table would be more than can be tried.
    pub(crate) const TABLES: usize = 1;

    /// The promise of the real one: a load sees what was done before the store.
    pub(crate) struct ArcSwap<T>(Mutex<Arc<T>>);

    impl<T> ArcSwap<T> {
        pub(crate) fn new(value: Arc<T>) -> Self {
            Self(Mutex::new(value))
        }

        pub(crate) fn load(&self) -> Arc<T> {
            Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
        }

        pub(crate) fn load_full(&self) -> Arc<T> {
            self.load()
        }

        pub(crate) fn store(&self, value: Arc<T>) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = value;
        }
    }
}

pub(super) use chosen::*;
