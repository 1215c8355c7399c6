use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use humantime::{format_duration, format_rfc3339_seconds};
use jetwash::store::{Bounds, LetterTotals, Micros, Store, StoreCopy};
use serde_json::{Map, Value, json};

use super::check::Checked;
use super::contents::{Contents, KINDS};
use crate::output::{self, OutputError, Table};

/// Everything that is shown of a log.
#[derive(Debug)]
pub(super) struct Report {
    folder: PathBuf,
    log_id: String,
    is_mirror: bool,
    format: u32,
    bounds: Bounds,
    file_bytes: u64,
    /// Numbers and sizes.
    dictionaries: Vec<(u32, usize)>,
    upstreams: Vec<(String, u64)>,
    /// Names, positions, and how many events are left from there on.
    cursors: Vec<(String, u64, u64)>,
    letters: Vec<(String, LetterTotals)>,
    contents: Contents,
    checked: Option<Checked>,
}

impl Report {
    pub(super) fn new(
        folder: &Path,
        copy: &StoreCopy,
        contents: Contents,
        checked: Option<Checked>,
    ) -> Result<Self, Box<dyn Error>> {
        let store = copy.store();
        let dictionaries = store.dictionaries();
        let upstreams = copy.cursors();
        Ok(Self {
            folder: folder.to_owned(),
            log_id: store.log_id().to_string(),
            is_mirror: store.is_mirror(),
            format: copy.format(),
            bounds: store.bounds(),
            file_bytes: copy.file_bytes()?,
            dictionaries: dictionaries
                .iter()
                .map(|dictionary| (dictionary.id(), dictionary.bytes().len()))
                .collect(),
            upstreams: upstreams
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
            cursors: cursors(store),
            letters: letters(store)?,
            contents,
            checked,
        })
    }

    /// Whether nothing that was looked at is missing or damaged.
    pub(super) fn is_sound(&self) -> bool {
        self.contents.is_sound() && self.checked.as_ref().is_none_or(Checked::is_sound)
    }

    pub(super) fn print(&self, top: usize) -> Result<(), OutputError> {
        let mut head = Table::new(["folder", &self.folder.display().to_string()]);
        let mirror = if self.is_mirror { ", a mirror" } else { "" };
        head.row(["log", &format!("{}{mirror}", self.log_id)]);
        head.row(["format", &self.format.to_string()]);
        self.add_range(&mut head);
        // Of these there may be several, or none: a row each.
        for (id, bytes) in &self.dictionaries {
            head.row(["dictionary", &format!("{id}, {bytes} bytes")]);
        }
        for (name, value) in &self.upstreams {
            head.row(["upstream", &format!("{name} at {value}")]);
        }
        for (name, seq, left) in &self.cursors {
            head.row(["cursor", &format!("{name} at {seq}, {left} events behind")]);
        }
        for (name, LetterTotals { letters, bytes, .. }) in &self.letters {
            let text = format!("{letters} of {name}, {bytes} bytes");
            head.row(["dead letters", &text]);
        }
        for (cause, count) in &self.contents.lost {
            head.row(["no event", &format!("{count} positions: {cause}")]);
        }
        head.print()?;
        output::print_line("")?;
        self.events_table(top).print()?;
        self.checked.as_ref().map_or(Ok(()), print_check)
    }

    fn add_range(&self, head: &mut Table) {
        let Bounds {
            oldest_seq,
            next_seq,
            ..
        } = self.bounds;
        let Contents {
            events, json_bytes, ..
        } = self.contents;
        let range = match events {
            0 => format!("0, the next has position {next_seq}"),
            events => format!(
                "{events}, positions {oldest_seq} to {}",
                next_seq.previous()
            ),
        };
        head.row(["events", &range]);
        // An empty log has no times.
        let times = self.bounds.oldest_time_us.zip(self.bounds.newest_time_us);
        if let Some((oldest, newest)) = times {
            let (from, to) = (shown(oldest), shown(newest));
            let span = Duration::from_secs(newest.since(oldest).as_secs());
            let span = format_duration(span);
            head.row(["time", &format!("{from} to {to}, {span}")]);
        }
        let (bytes, files) = (self.bounds.bytes, self.file_bytes);
        let text = format!("{bytes} stored, {json_bytes} as JSON, {files} in files");
        head.row(["bytes", &text]);
    }

    fn events_table(&self, top: usize) -> Table {
        let mut table = Table::new(["events", "share", "kind or collection"]);
        let whole = self.contents.events.max(1) as f64;
        let mut row = |name: &str, count: u64| {
            let share = format!("{:.1} %", 100.0 * count as f64 / whole);
            table.row([count.to_string(), share, name.to_owned()]);
        };
        for ((_, name), count) in KINDS.iter().zip(self.contents.kinds) {
            row(name, count);
        }
        let (named, others) = self.contents.top(top);
        for (name, count) in named {
            row(name, count);
        }
        if others > 0 {
            row("all other collections", others);
        }
        table
    }

    pub(super) fn json(&self, top: usize) -> Value {
        let (named, others) = self.contents.top(top);
        let kinds: Map<String, Value> = KINDS
            .iter()
            .zip(self.contents.kinds)
            .map(|((_, name), count)| ((*name).to_owned(), json!(count)))
            .collect();
        let micros = |time: Option<Micros>| time.map(Micros::get);
        json!({
            "folder": self.folder.display().to_string(),
            "log": self.log_id,
            "is_mirror": self.is_mirror,
            "format": self.format,
            "events": self.contents.events,
            "oldest_seq": self.bounds.oldest_seq.get(),
            "next_seq": self.bounds.next_seq.get(),
            "oldest_time_us": micros(self.bounds.oldest_time_us),
            "newest_time_us": micros(self.bounds.newest_time_us),
            "stored_bytes": self.bounds.bytes,
            "json_bytes": self.contents.json_bytes,
            "file_bytes": self.file_bytes,
            "dictionaries": objects(&self.dictionaries, |(id, bytes)| json!({ "id": id, "bytes": bytes })),
            "upstreams": objects(&self.upstreams, |(name, value)| json!({ "name": name, "cursor": value })),
            "cursors": objects(&self.cursors, |(name, seq, left)| {
                json!({ "name": name, "seq": seq, "behind": left })
            }),
            "dead_letters": objects(&self.letters, |(name, totals)| {
                json!({ "consumer": name, "letters": totals.letters, "bytes": totals.bytes })
            }),
            "kinds": kinds,
            "collections": objects(&named, |(name, count)| json!({ "name": name, "events": count })),
            "other_collections": others,
            "lost": self.contents.lost,
            "check": self.checked.as_ref().map(json_of_check),
        })
    }
}

fn objects<T>(items: &[T], one: impl Fn(&T) -> Value) -> Vec<Value> {
    items.iter().map(one).collect()
}

fn cursors(store: &Store) -> Vec<(String, u64, u64)> {
    let all = store.named_cursors().into_iter();
    all.map(|(name, cursor)| {
        let left = store.remaining(cursor.next()).events;
        (name, cursor.get(), left)
    })
    .collect()
}

fn letters(store: &Store) -> Result<Vec<(String, LetterTotals)>, Box<dyn Error>> {
    let names = store.dead_letter_consumers()?.into_iter();
    names
        .map(|name| {
            let totals = store.dead_letters(&name).held()?;
            Ok((name, totals))
        })
        .collect()
}

fn print_check(checked: &Checked) -> Result<(), OutputError> {
    output::print_line("")?;
    for fault in &checked.files {
        let what = if fault.is_missing {
            "missing"
        } else {
            "damaged"
        };
        output::print_line(&format!("{what}: {}", fault.file.display()))?;
    }
    for (first, next, reason) in &checked.damaged {
        let last = next.previous();
        output::print_line(&format!("damaged: events {first} to {last}: {reason}"))?;
    }
    let Checked {
        events,
        damaged_events,
        ..
    } = checked;
    output::print_line(&match checked.is_sound() {
        true => format!("all files and {events} events are as they were written"),
        false => format!(
            "{} files and {damaged_events} events are missing or damaged, {events} events are as \
             they were written; `jetwash-server --repair` keeps what can be read",
            checked.files.len()
        ),
    })
}

fn json_of_check(checked: &Checked) -> Value {
    json!({
        "is_sound": checked.is_sound(),
        "events": checked.events,
        "damaged_events": checked.damaged_events,
        "files": objects(&checked.files, |fault| {
            json!({ "file": fault.file.display().to_string(), "is_missing": fault.is_missing })
        }),
        "damaged": objects(&checked.damaged, |(first, next, reason)| {
            json!({ "first_seq": first.get(), "next_seq": next.get(), "reason": reason })
        }),
    })
}

fn shown(time: Micros) -> String {
    format_rfc3339_seconds(SystemTime::from(time)).to_string()
}
