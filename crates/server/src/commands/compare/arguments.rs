use std::time::Duration;

use clap::Args;

use crate::output::FormatOptions;
use crate::values::parse_duration;

/// Compares two Jetstreams, event by event
///
/// Both are followed live, over any number of connections. It says which events one of them lacks,
/// which differ in content, and how much later one delivers than the other. It begins to judge when
/// both have delivered the same event. An interrupt ends it early, with a report.
///
/// Ends with 0 if they are equal, and with 3 if they are not.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A Jetstream: a host, or a URL.
    ///
    /// A path that ends in /subscribe, or no path, means version 1. A host gets TLS, unless it is
    /// localhost, an address, or has another port than 443.
    pub(super) a: String,

    /// The Jetstream that is compared with it
    pub(super) b: String,

    /// How long events are judged, from the first that both have delivered
    #[arg(long = "for", value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    pub(super) duration: Duration,

    /// How long an event may come later from one than from the other before it counts as missing
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = parse_duration)]
    pub(super) drain: Duration,

    /// How much of the beginning is not judged, behind the first event that both have delivered: for
    /// servers that send events in different orders
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_duration)]
    pub(super) warm_up: Duration,

    /// How long it may take until both have delivered the same event
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    pub(super) wait: Duration,

    /// Compare only this collection, or with `.*` at its end all that start so; may be given more
    /// than once
    #[arg(long = "collection", value_name = "NSID")]
    pub(super) collections: Vec<String>,

    /// Compare only this account; may be given more than once
    #[arg(long = "did", value_name = "DID")]
    pub(super) dids: Vec<String>,

    /// How many events of each kind of difference are listed
    #[arg(long, value_name = "NUMBER", default_value_t = 10)]
    pub(super) list: usize,

    #[command(flatten)]
    pub(super) format: FormatOptions,
}
