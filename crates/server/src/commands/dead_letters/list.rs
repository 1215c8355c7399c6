use std::error::Error;
use std::path::Path;
use std::time::SystemTime;

use humantime::format_rfc3339_seconds;
use jetwash::store::{Seq, Store, StoredLetter};
use serde::Serialize;
use serde_json::value::RawValue;

use super::arguments::ListArguments;
use crate::exit::{Ended, Outcome};
use crate::log_folder;
use crate::output::{self, Table};

pub(super) fn run(folder: &Path, arguments: &ListArguments) -> Ended {
    let copy = log_folder::open_copy(folder, arguments.work_dir.as_deref())?;
    let store = copy.store();
    let mut table = Table::new([
        "consumer",
        "seq",
        "attempts",
        "failed at",
        "account",
        "collection",
        "reason",
    ]);
    let consumers = match &arguments.consumer {
        Some(name) => vec![name.clone()],
        None => store.dead_letter_consumers()?,
    };
    for consumer in consumers {
        each(store, &consumer, arguments.limit, |letter| {
            // At once, where a table has to wait for its widest cell.
            if arguments.format.json {
                return print_json(&consumer, letter);
            }
            table.row(row_of(&consumer, letter));
            Ok(())
        })?;
    }
    if !arguments.format.json {
        table.print()?;
    }
    Ok(Outcome::Well)
}

/// Calls a function for each letter of a consumer, the oldest event first.
pub(super) fn each(
    store: &Store,
    consumer: &str,
    limit: usize,
    mut one: impl FnMut(&StoredLetter) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let letters = store.dead_letters(consumer);
    let (mut after, mut left) = (None::<Seq>, limit);
    while left > 0 {
        // A few at a time: one can be large.
        let page = letters.list(after, left.min(PAGE))?;
        let Some(last) = page.last() else { break };
        after = Some(last.seq());
        left -= page.len();
        for letter in &page {
            one(letter)?;
        }
    }
    Ok(())
}

fn row_of(consumer: &str, letter: &StoredLetter) -> Vec<String> {
    let meta = letter.block().meta(0);
    // A reason can be anything, and must stay on its line.
    let reason = letter.reason().replace(char::is_control, " ");
    let failed_at = SystemTime::from(letter.failed_at_us());
    vec![
        consumer.to_owned(),
        letter.seq().to_string(),
        letter.attempts().to_string(),
        format_rfc3339_seconds(failed_at).to_string(),
        meta.map_or_else(String::new, |meta| meta.did.to_owned()),
        meta.map_or_else(String::new, |meta| meta.collection.to_owned()),
        console::truncate_str(&reason, REASON, "…").into_owned(),
    ]
}

/// A line of JSON.
#[derive(Debug, Serialize)]
struct Listed<'a> {
    consumer: &'a str,
    seq: u64,
    attempts: u32,
    failed_at_us: u64,
    reason: &'a str,
    event: Option<&'a RawValue>,
}

fn print_json(consumer: &str, letter: &StoredLetter) -> Result<(), Box<dyn Error>> {
    let lines = letter.block().json()?;
    let line = lines.get(0).unwrap_or_default();
    Ok(output::print_json(&Listed {
        consumer,
        seq: letter.seq().get(),
        attempts: letter.attempts(),
        failed_at_us: letter.failed_at_us().get(),
        reason: letter.reason(),
        event: serde_json::from_slice(line).ok(),
    })?)
}

const PAGE: usize = 16;
/// How much of a reason a table shows.
const REASON: usize = 100;
