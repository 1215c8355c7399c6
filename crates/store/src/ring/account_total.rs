/// The states of accounts on disk, as of the last opening or trim.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AccountTotal {
    pub(crate) bytes: u64,
    pub(crate) entries: u64,
    /// Entries that were dropped since the opening.
    pub(crate) dropped: u64,
}
