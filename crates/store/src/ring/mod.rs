//! The ring: what the appender and all readers share.
//!
//! - [`shared`] is the whole of it: the view, and everything that has a lock of its own;
//! - [`view`] says where every committed event is, in memory and, by [`bucket_view`], on disk;
//! - [`run`] is what a look into the view finds;
//! - [`named_cursors`] and [`letter_totals`] are what consumers keep here;
//! - [`identity`] says which log it is;
//! - [`account_total`] says how much is remembered of accounts, as the [`latest`] value that was set.

mod account_total;
mod bucket_view;
mod identity;
mod latest;
mod letter_totals;
mod named_cursors;
mod run;
mod shared;
mod view;

pub(crate) use account_total::AccountTotal;
pub(crate) use bucket_view::{BucketView, ColdPlace};
pub(crate) use identity::Identity;
pub(crate) use latest::Latest;
pub(crate) use letter_totals::KnownTotals;
pub use letter_totals::LetterTotals;
pub use named_cursors::CursorError;
pub(crate) use named_cursors::{NamedCursors, check_name};
pub use run::{Read, Run};
pub(crate) use shared::Ring;
pub(crate) use view::View;
