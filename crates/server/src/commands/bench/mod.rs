//! `bench`: how fast this machine is.
//!
//! [`measure`] takes the figures.

mod measure;

use std::env::consts::{ARCH, OS};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::exit::{Ended, Outcome, UsageError};
use crate::output::{self, FormatOptions, Table};
use crate::values::parse_duration;

/// Measure this machine: frames into a log, events out of it, and syncs of the disk
///
/// Frames are those of a simulated network. Each figure is of one thread, so it can be compared with
/// that of another machine or version.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Where the log is made: a folder on the disk that is measured. It is removed at the end
    ///
    /// [default: the folder for temporary files]
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,

    /// How long frames are written; reading takes less
    #[arg(long = "for", value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    duration: Duration,

    #[command(flatten)]
    format: FormatOptions,
}

/// The figures, with what they are of.
#[derive(Clone, Debug, Serialize)]
struct Report {
    version: &'static str,
    system: String,
    processors: usize,
    #[serde(flatten)]
    figures: measure::Figures,
}

pub(crate) fn run(arguments: &Arguments) -> Ended {
    if arguments.duration.is_zero() {
        return Err(UsageError("--for: it must be longer than 0s".to_owned()).into());
    }
    let work = arguments.dir.clone().unwrap_or_else(std::env::temp_dir);
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        system: format!("{OS} {ARCH}"),
        processors: thread::available_parallelism().map_or(1, usize::from),
        figures: measure::measure(&work, arguments.duration)?,
    };
    if arguments.format.json {
        output::print_json(&report)?;
        return Ok(Outcome::Well);
    }
    // In the order in which an event goes through a server.
    let figures = &report.figures;
    let title = format!(
        "jetwash-server {}, {}, {} processors",
        report.version, report.system, report.processors
    );
    let mut table = Table::new(["figure", &title]);
    let rows = [
        (
            "frames into a log",
            format!("{:.0}/s", figures.frames_per_s),
        ),
        (
            "frames",
            format!("{} of {} bytes", figures.frames, figures.frame_bytes),
        ),
        (
            "events as stored",
            format!("{:.0}/s", figures.stored_events_per_s),
        ),
        (
            "events as JSON",
            format!("{:.0}/s", figures.json_events_per_s),
        ),
        ("sync, median", format!("{:.2} ms", figures.sync_median_ms)),
        ("sync, longest", format!("{:.2} ms", figures.sync_most_ms)),
    ];
    for (name, text) in &rows {
        table.row([name, &**text]);
    }
    table.print()?;
    Ok(Outcome::Well)
}
