//! The ring: what the appender and all readers share.
//!
//! - [`shared`] is the whole of it: the view, and everything that has a lock of its own;
//! - [`view`] says where every committed event is, in memory and, by [`bucket_view`], on disk;
//! - [`run`] is what a look into the view finds;
//! - [`named_cursors`] and [`letter_totals`] are what consumers keep here;
//! - [`identity`] says which log it is;
//! - [`account_totals`] says how much is remembered of accounts.

mod account_totals;
mod bucket_view;
mod identity;
mod letter_totals;
mod named_cursors;
mod run;
mod shared;
mod view;

pub(crate) use account_totals::{AccountTotal, AccountTotals};
pub(crate) use bucket_view::{BucketView, ColdPlace};
pub(crate) use identity::Identity;
pub(crate) use letter_totals::KnownTotals;
pub use letter_totals::LetterTotals;
pub use named_cursors::CursorError;
pub(crate) use named_cursors::{NamedCursors, check_name};
pub use run::{Read, Run};
pub(crate) use shared::Ring;
pub(crate) use view::View;
