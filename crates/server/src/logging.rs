use std::env;
use std::io::{self, IsTerminal};

use tracing::warn;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Prints log lines to standard error from now on.
pub(crate) fn start() {
    let levels = env::var("RUST_LOG").unwrap_or_default();
    let parsed = levels.parse::<Targets>();
    let is_told = !levels.trim().is_empty();
    tracing_subscriber::registry()
        .with(match &parsed {
            Ok(levels) if is_told => levels.clone(),
            _ => default_levels(),
        })
        .with(
            tracing_subscriber::fmt::layer()
                .with_writer(io::stderr)
                .with_ansi(io::stderr().is_terminal()),
        )
        .init();
    if let (Err(error), true) = (&parsed, is_told) {
        warn!(
            "RUST_LOG says nothing that can be understood, so it is as if it were not set: {error}"
        );
    }
}

/// Printed unless `RUST_LOG` says otherwise, such as `debug` or `info,jetwash=debug`.
fn default_levels() -> Targets {
    Targets::new()
        .with_default(LevelFilter::INFO)
        .with_target("fjall", LevelFilter::WARN)
        .with_target("lsm_tree", LevelFilter::WARN)
}
