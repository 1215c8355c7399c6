//! `doctor`: whether this machine is fit for a server.
//!
//! [`machine`] looks at files, clock, memory and versions, [`disk`] at the data folder, [`relays`] at
//! where events come from. Each makes a [`finding`] or several.

mod disk;
mod finding;
mod machine;
mod relays;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use self::finding::Level;
use crate::exit::{Ended, Outcome};
use crate::output::{self, FormatOptions};
use crate::values::parse_duration;

/// Check whether this machine is fit for a server, and say what to change
///
/// It looks at the limit of open files, the clock, memory, the disk of the data folder, and the
/// relays. In the data folder it writes and removes one small file.
///
/// Ends with 3 if something must be changed.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The data folder of the server, or where it is to be
    #[arg(
        long,
        value_name = "FOLDER",
        env = "JETSTREAM_DATA_DIR",
        default_value = "./data"
    )]
    data_dir: PathBuf,

    /// A relay, or another host that events come from; may be given more than once
    #[arg(long = "relay", value_name = "URL", default_value = DEFAULT_RELAY)]
    relays: Vec<String>,

    /// Look at no relay
    #[arg(long, conflicts_with = "relays")]
    offline: bool,

    /// How long a relay may take to answer
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    timeout: Duration,

    #[command(flatten)]
    format: FormatOptions,
}

pub(crate) fn run(arguments: &Arguments) -> Ended {
    let mut findings = machine::check();
    findings.extend(disk::check(&arguments.data_dir));
    if !arguments.offline {
        findings.extend(relays::check(&arguments.relays, arguments.timeout));
    }
    let must_change = findings.iter().any(|it| it.level == Level::MustChange);
    if arguments.format.json {
        let is_fit = !must_change;
        output::print_json(&json!({ "is_fit": is_fit, "findings": findings }))?;
    } else {
        for finding in &findings {
            output::print_line(&finding.to_string())?;
        }
    }
    Ok(match must_change {
        false => Outcome::Well,
        true => Outcome::Found,
    })
}

const DEFAULT_RELAY: &str = "relay1.us-east.bsky.network";
