use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Instant;

use jetwash::Dictionary;
use jetwash::dict::{Evaluation, Trainer};
use jetwash::event::{BinaryEncoder, ParsedEvent};

use crate::arguments::{Source, Train};
use crate::source::each_line;

pub(crate) fn train(train: &Train) -> Result<(), Box<dyn Error>> {
    let mut trainer = Trainer::new().scrub(!train.no_scrub);
    if !train.sizes.is_empty() {
        let sizes: Vec<_> = train.sizes.iter().map(|size| *size as usize).collect();
        trainer = trainer.sizes(sizes);
    }
    let seen = each_line(&train.source, |line| trainer.add(line))?;
    println!("{seen} events; those of one account in eight are held out");
    let mut encoder = BinaryEncoder::new();
    let trained = trainer.train_with(
        train.id,
        |line| form(&mut encoder, line, train.binary),
        |candidate| println!("{:>7} bytes: {}", candidate.size, candidate.result),
    )?;
    let dictionary = trained.dictionary();
    fs::write(&train.output, dictionary.bytes())
        .map_err(|error| format!("{}: {error}", train.output.display()))?;
    println!("the best for its size, by collection of the accounts held out:");
    for (group, result) in trained.groups() {
        println!("  {group:<44} {result}");
    }
    println!(
        "written to {}: number {}, {} bytes, trained on {} events, {}",
        train.output.display(),
        dictionary.id(),
        dictionary.bytes().len(),
        trained.samples(),
        trained.held_out(),
    );
    Ok(())
}

pub(crate) fn inspect(path: &Path) -> Result<(), Box<dyn Error>> {
    let dictionary = open(path)?;
    let bytes = dictionary.bytes();
    let hash: String = dictionary
        .sha256()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    println!("number   {}", dictionary.id());
    let range = match Trainer::IDS.contains(&dictionary.id()) {
        true => "private: anybody may use it",
        false => "reserved by RFC 8878",
    };
    println!("         {range}");
    println!("bytes    {}", bytes.len());
    println!("sha256   {hash}");
    if dictionary.is_official_v1() {
        println!("         the official one of Jetstream version 1");
    }
    println!("DIDs     {}", occurrences(bytes, b"did:plc:", 24));
    println!("CIDs     {}", occurrences(bytes, b"bafyrei", 52));
    println!("         (in full; made-up ones too, where it was scrubbed)");
    println!("the end, where what is used most should be:");
    let end = &bytes[bytes.len().saturating_sub(800)..];
    println!("{}", end.escape_ascii());
    Ok(())
}

pub(crate) fn evaluate(path: &Path, source: &Source, binary: bool) -> Result<(), Box<dyn Error>> {
    let dictionary = open(path)?;
    let mut groups: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    let mut encoder = BinaryEncoder::new();
    each_line(source, |line| {
        let parsed: Result<ParsedEvent, _> = serde_json::from_str(line);
        let group = match &parsed {
            Ok(event) => event
                .collection()
                .unwrap_or_else(|| event.kind().as_str())
                .to_owned(),
            Err(_) => "(no event)".to_owned(),
        };
        let form = form(&mut encoder, line, binary);
        groups.entry(group).or_default().extend(form);
    })?;
    for (group, events) in &groups {
        let result = Evaluation::of(&dictionary, events.iter().map(Vec::as_slice));
        println!("  {group:<44} {result}");
    }
    let events: Vec<&[u8]> = groups.values().flatten().map(Vec::as_slice).collect();
    println!(
        "all: {}",
        Evaluation::of(&dictionary, events.iter().copied())
    );
    time(&dictionary, &events)
}

/// Times one event, there and back.
fn time(dictionary: &Dictionary, events: &[&[u8]]) -> Result<(), Box<dyn Error>> {
    let (mut encoder, mut decoder) = (dictionary.compressor(), dictionary.decompressor());
    let (mut frames, mut ends, mut out) = (Vec::new(), vec![0], Vec::new());
    let start = Instant::now();
    for event in events {
        encoder.compress(event, &mut frames)?;
        ends.push(frames.len());
    }
    let encoding = start.elapsed();
    let start = Instant::now();
    for (range, event) in ends.windows(2).zip(events) {
        out.clear();
        decoder.decompress(&frames[range[0]..range[1]], event.len(), &mut out)?;
    }
    let decoding = start.elapsed();
    let each = |time: std::time::Duration| time.as_secs_f64() * 1e6 / events.len() as f64;
    println!(
        "{:.2} µs an event to encode, {:.2} µs to decode",
        each(encoding),
        each(decoding)
    );
    Ok(())
}

/// The event as it is compressed; `None` if it has no such form.
fn form(encoder: &mut BinaryEncoder, line: &str, is_binary: bool) -> Option<Vec<u8>> {
    if !is_binary {
        return Some(line.into());
    }
    let mut event = Vec::new();
    encoder.encode_changed(line, &mut event).ok()?;
    Some(event)
}

fn open(path: &Path) -> Result<Dictionary, Box<dyn Error>> {
    if path == Path::new("builtin") {
        return Ok(Dictionary::builtin()?);
    }
    let named = |error: &dyn Error| format!("{}: {error}", path.display());
    let bytes = fs::read(path).map_err(|error| named(&error))?;
    Ok(Dictionary::from_bytes(bytes).map_err(|error| named(&error))?)
}

/// Counts the places with this form: a start, and a number of letters and digits.
fn occurrences(bytes: &[u8], start: &[u8], length: usize) -> usize {
    let windows = bytes.windows(start.len() + length);
    let is_one = |window: &&[u8]| {
        window.starts_with(start) && window[start.len()..].iter().all(u8::is_ascii_alphanumeric)
    };
    windows.filter(is_one).count()
}
