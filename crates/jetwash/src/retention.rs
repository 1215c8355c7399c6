use std::time::Duration;

use jetwash_store::Retention;

use crate::build_error::Mistake;

/// The mistakes in how long events stay.
pub(crate) fn mistakes_of(retention: Retention) -> impl Iterator<Item = Mistake> {
    let age = retention.max_age.filter(Duration::is_zero);
    let bytes = retention.max_bytes.filter(|&bytes| bytes < LEAST_BYTES);
    let age = age.map(|_| Mistake::ZeroAge);
    age.into_iter()
        .chain(bytes.map(|bytes| Mistake::FewBytes { bytes }))
}

/// The fewest bytes that a ring may be given.
pub(crate) const LEAST_BYTES: u64 = 1 << 20;
