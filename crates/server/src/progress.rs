//! Progress on standard error, for people: nothing is shown where that is not a terminal.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressStyle};

/// A line that says how far something is, `None` where nobody would see it.
///
/// Print other lines within [`ProgressBar::suspend`].
pub(crate) fn spinner() -> Option<ProgressBar> {
    shown(ProgressBar::new_spinner(), "{spinner} {msg}")
}

/// A bar that shows which part of `total` is done, and how long the rest will take; `None` where
/// nobody would see it.
pub(crate) fn bar(total: u64) -> Option<ProgressBar> {
    shown(
        ProgressBar::new(total),
        "{wide_bar} {pos}/{len}, {eta} left {msg}",
    )
}

fn shown(bar: ProgressBar, template: &str) -> Option<ProgressBar> {
    let style = ProgressStyle::with_template(template);
    io::stderr()
        .is_terminal()
        .then(|| bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner())))
}
