//! `inspect`: the contents of an event log.
//!
//! [`contents`] counts what is in it, [`check`] reads all of it, [`events`] prints events, and
//! [`report`] prints the rest.

mod check;
mod contents;
mod events;
mod report;

use std::path::PathBuf;

use clap::Args;
use jetwash::store::{OpenError, Seq};

use self::contents::Contents;
use self::report::Report;
use crate::exit::{Ended, Outcome, UsageError};
use crate::log_folder;
use crate::output::{self, FormatOptions};

/// Show what is in an event log, also while a server writes it
///
/// It opens a copy, in which the large files are linked, and changes nothing in the folder.
///
/// Ends with 3 if something in the log is missing or damaged.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The folder of the log, or the data folder of a server
    folder: PathBuf,

    /// Read all files and all events, and compare their checksums
    #[arg(long, conflicts_with = "events")]
    verify: bool,

    /// Print the events, a line each
    ///
    /// With --json a line has the position and the verdict beside the event.
    #[arg(long)]
    events: bool,

    /// Print events from this position on
    #[arg(long, value_name = "SEQ", requires = "events")]
    from: Option<u64>,

    /// Print up to this number of events
    #[arg(long, value_name = "NUMBER", requires = "events")]
    limit: Option<u64>,

    /// How many collections are listed, the most frequent first
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    top: usize,

    /// Where the copy is made: a folder on the same file system as the log
    ///
    /// [default: the folder that FOLDER is in]
    #[arg(long, value_name = "FOLDER")]
    work_dir: Option<PathBuf>,

    #[command(flatten)]
    format: FormatOptions,
}

pub(crate) fn run(arguments: &Arguments) -> Ended {
    let folder = &arguments.folder;
    // Damage that keeps the log from being opened is a finding too.
    let copy = match log_folder::open_copy(folder, arguments.work_dir.as_deref()) {
        Err(error @ (OpenError::Missing { .. } | OpenError::Damaged { .. })) => {
            eprintln!("jetwash-server: {error}");
            return Ok(Outcome::Found);
        }
        opened => opened?,
    };
    if arguments.events {
        let from = arguments.from.map_or(Seq::FIRST, Seq::new);
        let limit = arguments.limit.unwrap_or(u64::MAX);
        return events::print(copy.store(), from, limit, arguments.format.json);
    }
    if copy.format() == 0 {
        return Err(UsageError(format!("{}: the log was never written", folder.display())).into());
    }
    let checked = arguments.verify.then(|| check::check(&copy)).transpose()?;
    let contents = Contents::of(copy.store())?;
    let report = Report::new(&log_folder::of(folder), &copy, contents, checked)?;
    match arguments.format.json {
        true => output::print_json(&report.json(arguments.top))?,
        false => report.print(arguments.top)?,
    }
    Ok(match report.is_sound() {
        true => Outcome::Well,
        false => Outcome::Found,
    })
}
