use std::io::{self, Write};

use jetwash::Verdict;
use jetwash::store::{Read, Run, Seq, Store, StoreError};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::exit::{Ended, Outcome};
use crate::output::OutputError;

/// Prints up to `limit` events from a position on. Positions without an event are told of on standard
/// error.
pub(super) fn print(store: &Store, from: Seq, limit: u64, is_json: bool) -> Ended {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut outcome = Outcome::Well;
    let mut at = from.max(store.bounds().oldest_seq);
    let mut left = limit;
    while left > 0 {
        let (next, fault) = match store.read(at) {
            Ok(Read::Events(run)) => match print_run(&run, &mut left, is_json, &mut out) {
                Ok(()) => (run.next_seq(), None),
                Err(PrintError::Output(error)) => return Err(error.into()),
                Err(PrintError::Store(error)) => (run.next_seq(), Some(error.to_string())),
            },
            Ok(Read::Gap(gap)) => {
                eprintln!("{gap}");
                (gap.next_seq, None)
            }
            Err(error @ StoreError::Corrupt { next_seq, .. }) => {
                (next_seq, Some(error.to_string()))
            }
            Ok(_) => break,
            Err(error) => return Err(error.into()),
        };
        // A program that reads the lines must hear of it, but not among them.
        if let Some(fault) = fault {
            eprintln!("{fault}");
            outcome = Outcome::Found;
        }
        if next <= at {
            break;
        }
        at = next;
    }
    out.flush().map_err(OutputError::from)?;
    Ok(outcome)
}

/// A line of JSON.
#[derive(Debug, Serialize)]
struct Printed<'a> {
    seq: u64,
    /// `None` if the commit was not verified.
    verdict: Option<&'static str>,
    event: Option<&'a RawValue>,
}

enum PrintError {
    Store(StoreError),
    Output(OutputError),
}

fn print_run(
    run: &Run,
    left: &mut u64,
    is_json: bool,
    out: &mut impl Write,
) -> Result<(), PrintError> {
    let block = run.block();
    let lines = block.json().map_err(PrintError::Store)?;
    for index in run.indexes() {
        let (Some(meta), Some(line)) = (block.meta(index), lines.get(index)) else {
            continue;
        };
        if *left == 0 {
            return Ok(());
        }
        *left -= 1;
        let written = match is_json {
            false => out.write_all(line).and_then(|()| out.write_all(b"\n")),
            true => {
                let printed = Printed {
                    seq: meta.seq.get(),
                    verdict: Verdict::from_byte(meta.verdict).map(Verdict::name),
                    event: serde_json::from_slice(line).ok(),
                };
                let written = serde_json::to_writer(&mut *out, &printed);
                written
                    .map_err(io::Error::from)
                    .and_then(|()| out.write_all(b"\n"))
            }
        };
        written.map_err(|error| PrintError::Output(error.into()))?;
    }
    Ok(())
}
