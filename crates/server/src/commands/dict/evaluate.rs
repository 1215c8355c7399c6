use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use jetwash::Dictionary;
use jetwash::dict::{Compressor, Decompressor, Evaluation};
use jetwash::event::ParsedEvent;
use serde_json::{Value, json};

use super::arguments::EvaluateArguments;
use super::figures::json_of;
use super::form::Form;
use super::named::open;
use super::source::each_line;
use crate::exit::{Ended, Outcome};
use crate::output::{self, OutputError, Table};

pub(super) fn run(arguments: &EvaluateArguments) -> Ended {
    let names = [&arguments.dictionary]
        .into_iter()
        .chain(&arguments.against);
    let judged: Result<Vec<_>, _> = names.map(|name| Judged::open(name)).collect();
    let mut judge = Judge {
        dictionaries: judged?,
        groups: BTreeMap::new(),
        waiting: Vec::new(),
        bytes: 0,
    };
    let mut form = Form::new(arguments.binary);
    each_line(&arguments.source, |line| match form.of(line) {
        Some(event) => judge.add(group_of(line), event),
        None => Ok(()),
    })?;
    judge.settle()?;
    match arguments.format.json {
        true => output::print_json(&judge.json())?,
        false => judge.print()?,
    }
    Ok(Outcome::Well)
}

/// The collection of an event, or its kind if it has none.
fn group_of(line: &str) -> String {
    let parsed: Result<ParsedEvent, _> = serde_json::from_str(line);
    let Ok(event) = &parsed else {
        return "(no event)".to_owned();
    };
    let group = event.collection().unwrap_or_else(|| event.kind().as_str());
    // It is printed, and must not move the cursor of a terminal.
    let group = group.chars().take(LONGEST_NAME);
    let is_control = |it: char| if it.is_control() { ' ' } else { it };
    group.map(is_control).collect()
}

/// A dictionary, and the time that it takes.
#[derive(Debug)]
struct Judged {
    name: String,
    compressor: Compressor,
    decompressor: Decompressor,
    encoding: Duration,
    decoding: Duration,
    total: Evaluation,
}

impl Judged {
    fn open(name: &Path) -> Result<Self, Box<dyn Error>> {
        let dictionary: Dictionary = open(name)?;
        Ok(Self {
            name: name.display().to_string(),
            compressor: dictionary.compressor(),
            decompressor: dictionary.decompressor(),
            encoding: Duration::ZERO,
            decoding: Duration::ZERO,
            total: Evaluation::default(),
        })
    }

    /// Compresses events, each by itself, and unpacks them. Returns how long each became.
    fn judge(&mut self, events: &[(String, Vec<u8>)]) -> Result<Vec<usize>, Box<dyn Error>> {
        let (mut frames, mut ends, mut out) = (Vec::new(), Vec::new(), Vec::new());
        let start = Instant::now();
        for (_, event) in events {
            self.compressor.compress(event, &mut frames)?;
            ends.push(frames.len());
        }
        self.encoding += start.elapsed();
        let start = Instant::now();
        let (mut rest, mut before, mut lengths) = (&frames[..], 0, Vec::new());
        for (end, (_, event)) in ends.iter().zip(events) {
            let (frame, others) = rest.split_at(end - before);
            out.clear();
            self.decompressor.decompress(frame, event.len(), &mut out)?;
            (rest, before) = (others, *end);
            lengths.push(frame.len());
        }
        self.decoding += start.elapsed();
        Ok(lengths)
    }

    /// Microseconds for an event, there and back.
    fn times(&self) -> (f64, f64) {
        let events = self.total.events.max(1) as f64;
        let each = |time: Duration| time.as_secs_f64() * 1e6 / events;
        (each(self.encoding), each(self.decoding))
    }
}

/// Has dictionaries compress the same events.
#[derive(Debug)]
struct Judge {
    dictionaries: Vec<Judged>,
    /// By collection or kind, and then by dictionary.
    groups: BTreeMap<String, Vec<Evaluation>>,
    /// Events with their groups: enough of them for their time to be measured.
    waiting: Vec<(String, Vec<u8>)>,
    bytes: usize,
}

impl Judge {
    fn add(&mut self, group: String, event: Vec<u8>) -> Result<(), Box<dyn Error>> {
        self.bytes += event.len();
        self.waiting.push((group, event));
        if self.waiting.len() < MAX_WAITING && self.bytes < MAX_WAITING_BYTES {
            return Ok(());
        }
        self.settle()
    }

    /// Judges the events that wait.
    fn settle(&mut self) -> Result<(), Box<dyn Error>> {
        let events = std::mem::take(&mut self.waiting);
        self.bytes = 0;
        let count = self.dictionaries.len();
        for (index, judged) in self.dictionaries.iter_mut().enumerate() {
            let lengths = judged.judge(&events)?;
            for ((group, event), length) in events.iter().zip(lengths) {
                let is_known = self.groups.contains_key(group) || self.groups.len() < MAX_GROUPS;
                let group = if is_known { group } else { OTHERS };
                let of_group = self.groups.entry(group.to_owned());
                let of_group = of_group.or_insert_with(|| vec![Evaluation::default(); count]);
                for sum in of_group
                    .get_mut(index)
                    .into_iter()
                    .chain([&mut judged.total])
                {
                    sum.events += 1;
                    sum.bytes += event.len() as u64;
                    sum.compressed += length as u64;
                }
            }
        }
        Ok(())
    }

    fn print(&self) -> Result<(), OutputError> {
        let names = self.dictionaries.iter().map(|judged| &*judged.name);
        let mut table = Table::new(
            ["events", "bytes", "kind or collection"]
                .into_iter()
                .chain(names),
        );
        let mut row = |name: &str, results: &[Evaluation]| {
            let first = results.first().copied().unwrap_or_default();
            let head = [
                first.events.to_string(),
                first.bytes.to_string(),
                name.to_owned(),
            ];
            let ratios = results.iter().map(|it| format!("{:.3}", it.ratio()));
            table.row(head.into_iter().chain(ratios));
        };
        for (name, results) in &self.groups {
            row(name, results);
        }
        let totals: Vec<_> = self
            .dictionaries
            .iter()
            .map(|judged| judged.total)
            .collect();
        row("all", &totals);
        let times = |name: &str, of: fn((f64, f64)) -> f64| {
            let times = self.dictionaries.iter().map(Judged::times).map(of);
            let head = [String::new(), String::new(), name.to_owned()];
            let cells = head.into_iter().chain(times.map(|it| format!("{it:.2}")));
            cells.collect::<Vec<_>>()
        };
        table.row(times("µs to encode an event", |(encoding, _)| encoding));
        table.row(times("µs to decode an event", |(_, decoding)| decoding));
        table.print()
    }

    /// An object for each dictionary.
    fn json(&self) -> Value {
        let dictionaries = self.dictionaries.iter().enumerate();
        let dictionaries = dictionaries.map(|(index, judged)| {
            let groups = self.groups.iter().filter_map(|(name, results)| {
                let mut figures = json_of(results.get(index)?);
                figures["name"] = json!(name);
                Some(figures)
            });
            let mut object = json_of(&judged.total);
            let (encoding, decoding) = judged.times();
            object["dictionary"] = json!(judged.name);
            object["encode_us"] = json!(encoding);
            object["decode_us"] = json!(decoding);
            object["groups"] = groups.collect();
            object
        });
        dictionaries.collect()
    }
}

/// Holds what comes when there are [`MAX_GROUPS`]: anybody can make up collections.
const OTHERS: &str = "(others)";
const MAX_GROUPS: usize = 10_000;
/// The length of the longest collection.
const LONGEST_NAME: usize = 317;
const MAX_WAITING: usize = 4096;
const MAX_WAITING_BYTES: usize = 8 << 20;
