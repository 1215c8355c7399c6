use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::watch;

use super::account_total::AccountTotal;
use super::identity::Identity;
use super::latest::Latest;
use super::letter_totals::KnownTotals;
use super::named_cursors::NamedCursors;
use super::view::View;
use crate::backend::Durable;
use crate::block::{Block, Cache, Dictionaries};
use crate::frames::FrameRing;
use crate::options::Retention;
use crate::seq::Seq;

/// The shared part of a ring.
pub(crate) struct Ring {
    pub(crate) identity: Identity,
    pub(crate) view: RwLock<View>,
    pub(crate) cache: Arc<Cache<Block>>,
    pub(crate) dictionaries: Arc<Dictionaries>,
    pub(crate) durable: Durable,
    pub(crate) named: NamedCursors,
    pub(crate) letter_totals: KnownTotals,
    pub(crate) account_total: Latest<AccountTotal>,
    /// The retention that the next trim keeps to.
    pub(crate) retention: Latest<Retention>,
    /// `None` if no frames are kept.
    pub(crate) frames: Option<FrameRing>,
    pub(crate) tip: watch::Receiver<Seq>,
}

impl Ring {
    /// The view. While it is held nothing may block: every reader and the appender wait for it.
    pub(crate) fn view(&self) -> RwLockReadGuard<'_, View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn view_mut(&self) -> RwLockWriteGuard<'_, View> {
        self.view.write().unwrap_or_else(PoisonError::into_inner)
    }
}
