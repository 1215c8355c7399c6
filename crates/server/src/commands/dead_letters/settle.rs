use std::error::Error;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use jetwash::store::{
    Appender, DeadLetters, Location, OpenError, Options, Seq, Store, StoredLetter, open,
};
use serde_json::json;
use thiserror::Error;

use super::arguments::{DiscardArguments, Letters, ReplayArguments};
use super::list::each;
use crate::exit::{Ended, Outcome};
use crate::log_folder;
use crate::output;

/// Why dead letters could not be discarded or handled.
#[derive(Debug, Error)]
enum SettleError {
    #[error("{}: there is no event log in it", .0.display())]
    NoLog(PathBuf),
    #[error("the consumer {consumer:?} has no dead letter of the event {seq}")]
    Unknown { consumer: String, seq: u64 },
    #[error("the program {program:?} cannot be run: {source}")]
    Program { program: String, source: io::Error },
}

pub(super) fn discard(folder: &Path, arguments: &DiscardArguments) -> Ended {
    let (_appender, store) = open_log(folder)?;
    let letters = store.dead_letters(&arguments.letters.consumer);
    let mut discarded = 0_u64;
    for seq in named(&store, &arguments.letters)? {
        discarded += u64::from(letters.discard(seq)?);
    }
    match arguments.format.json {
        true => output::print_json(&json!({ "discarded": discarded }))?,
        false => output::print_line(&format!("{discarded} discarded"))?,
    }
    Ok(Outcome::Well)
}

pub(super) fn replay(folder: &Path, arguments: &ReplayArguments) -> Ended {
    let (_appender, store) = open_log(folder)?;
    let letters = store.dead_letters(&arguments.letters.consumer);
    let (mut handled, mut failed) = (0_u64, 0_u64);
    for seq in named(&store, &arguments.letters)? {
        let Some(letter) = letters.get(seq)? else {
            continue;
        };
        if is_handled(&letter, &arguments.program)? {
            letters.discard(seq)?;
            handled += 1;
        } else {
            failed += 1;
        }
    }
    match arguments.format.json {
        true => output::print_json(&json!({ "handled": handled, "failed": failed }))?,
        false => output::print_line(&format!("{handled} handled, {failed} failed again"))?,
    }
    Ok(match failed {
        0 => Outcome::Well,
        _ => Outcome::Found,
    })
}

/// Opens the log of a stopped program, to change it.
fn open_log(folder: &Path) -> Result<(Appender, Store), Box<dyn Error>> {
    let log = log_folder::of(folder);
    if !log_folder::is_log(&log) {
        return Err(SettleError::NoLog(log).into());
    }
    // Frames that are kept stay, however many.
    let options = Options::default().keep_frames(u64::MAX);
    match open(Location::Disk(log), options) {
        Err(error @ OpenError::InUse { .. }) => {
            Err(format!("{error}; only `list` works beside the program").into())
        }
        opened => Ok(opened?),
    }
}

/// The letters that are named, each of which must be there.
fn named(store: &Store, letters: &Letters) -> Result<Vec<Seq>, Box<dyn Error>> {
    let consumer = &letters.consumer;
    let mut seqs = Vec::new();
    if letters.all {
        // Their number is bounded where they are written.
        each(store, consumer, usize::MAX, |letter| {
            seqs.push(letter.seq());
            Ok(())
        })?;
        return Ok(seqs);
    }
    let held: DeadLetters = store.dead_letters(consumer);
    for seq in &letters.seqs {
        if held.get(Seq::new(*seq))?.is_none() {
            let (consumer, seq) = (consumer.clone(), *seq);
            return Err(SettleError::Unknown { consumer, seq }.into());
        }
        seqs.push(Seq::new(*seq));
    }
    Ok(seqs)
}

/// Runs the program with the event on its standard input. Whether it ended with 0.
fn is_handled(letter: &StoredLetter, program: &[String]) -> Result<bool, Box<dyn Error>> {
    let Some((name, arguments)) = program.split_first() else {
        return Ok(false);
    };
    let cannot_run = |source| SettleError::Program {
        program: name.clone(),
        source,
    };
    let lines = letter.block().json()?;
    let line = lines.get(0).unwrap_or_default();
    let mut child = Command::new(name)
        .args(arguments)
        .env("JETWASH_SEQ", letter.seq().to_string())
        .stdin(Stdio::piped())
        // What it prints must not be taken for what this program prints.
        .stdout(io::stderr())
        .spawn()
        .map_err(cannot_run)?;
    if let Some(mut input) = child.stdin.take() {
        let written = input.write_all(line).and_then(|()| input.write_all(b"\n"));
        // One that does not read its input has its reasons.
        written
            .or_else(|error| match error.kind() {
                io::ErrorKind::BrokenPipe => Ok(()),
                _ => Err(error),
            })
            .map_err(cannot_run)?;
    }
    Ok(child.wait().map_err(cannot_run)?.success())
}
