use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use jetwash::Dictionary;
use jetwash::dict::{BatchCompressor, BatchDecompressor, StreamCompressor, StreamDecompressor};
use jetwash::event::BinaryEncoder;
use rustix::time::{ClockId, clock_gettime};

use crate::dictionaries::Dictionaries;

/// One way of sending.
pub(crate) struct Measured {
    pub(crate) name: String,
    /// An event, on the average.
    pub(crate) bytes: f64,
    pub(crate) encode_us: Option<f64>,
    pub(crate) decode_us: Option<f64>,
    /// The figures of Jetstream's first description.
    pub(crate) first_description: &'static str,
    pub(crate) first_gigabytes: Option<f64>,
    pub(crate) is_charted: bool,
}

impl Measured {
    fn first(mut self, words: &'static str, gigabytes: Option<f64>) -> Self {
        self.first_description = words;
        self.first_gigabytes = gigabytes;
        self
    }

    fn plain(name: &str, bytes: f64) -> Self {
        Self {
            name: name.to_owned(),
            bytes,
            encode_us: None,
            decode_us: None,
            first_description: "",
            first_gigabytes: None,
            is_charted: true,
        }
    }
}

/// All ways, from the largest on.
pub(crate) fn measure(
    lines: &[String],
    frame_bytes: Option<u64>,
    dictionaries: &Dictionaries,
    other: Option<&Dictionary>,
) -> Result<Vec<Measured>, Box<dyn Error>> {
    let json: Vec<&[u8]> = lines.iter().map(String::as_bytes).collect();
    let events = lines.len() as f64;
    let mut rows = Vec::new();
    if let Some(bytes) = frame_bytes {
        let row = Measured::plain("firehose", bytes as f64 / events);
        rows.push(row.first("232 GB a day", Some(232.0)));
    }
    let row = Measured::plain("JSON", mean(&json));
    rows.push(row.first("41 GB, 482 bytes", Some(41.0)));
    if let Some(other) = other {
        let name = match other.is_official_v1() {
            true => "JSON, the official dictionary".to_owned(),
            false => format!("JSON, dictionary {}", other.id()),
        };
        let row = batches(&name, &json, other, 1)?;
        rows.push(row.first("18 GB, 211 bytes, 0.44", Some(18.0)));
    }
    let mut builtin = batches(
        "JSON, the dictionary that comes along",
        &json,
        &Dictionary::builtin()?,
        1,
    )?;
    builtin.is_charted = false;
    rows.push(builtin);
    rows.push(batches(
        "JSON, a dictionary trained for it",
        &json,
        &dictionaries.json,
        1,
    )?);
    for size in [16, 64] {
        rows.push(batches(
            &format!("batches of {size}, dictionary"),
            &json,
            &dictionaries.json,
            size,
        )?);
    }
    let mut bare = stream("one stream a reader, no dictionary", &json, None)?;
    bare.is_charted = false;
    rows.push(bare.first("28,000/s of 200,000/s; +23 % CPU", None));
    rows.push(stream(
        "one stream a reader, dictionary",
        &json,
        Some(&dictionaries.json),
    )?);
    rows.extend(binary_ways(lines, &dictionaries.binary)?);
    Ok(rows)
}

/// The ways of sending binary events.
fn binary_ways(lines: &[String], dictionary: &Dictionary) -> Result<Vec<Measured>, Box<dyn Error>> {
    let binary = binary(lines)?;
    let binary: Vec<&[u8]> = binary.iter().map(Vec::as_slice).collect();
    let mut rows = vec![Measured::plain("binary", mean(&binary))];
    let along = Dictionary::builtin_binary()?;
    let mut along = batches(
        "binary, the dictionary that comes along",
        &binary,
        &along,
        1,
    )?;
    along.is_charted = false;
    rows.push(along);
    rows.push(batches(
        "binary, a dictionary trained for it",
        &binary,
        dictionary,
        1,
    )?);
    Ok(rows)
}

fn mean(events: &[&[u8]]) -> f64 {
    events.iter().map(|event| event.len()).sum::<usize>() as f64 / events.len() as f64
}

/// Bytes by collection, as JSON, compressed and binary.
pub(crate) fn by_collection(
    lines: &[String],
    dictionaries: &Dictionaries,
) -> Result<(), Box<dyn Error>> {
    let mut groups: BTreeMap<String, Vec<&String>> = BTreeMap::new();
    for line in lines {
        let event: jetwash::event::ParsedEvent = serde_json::from_str(line)?;
        let name = event.collection().unwrap_or_else(|| event.kind().as_str());
        groups.entry(name.to_owned()).or_default().push(line);
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, lines)| {
        std::cmp::Reverse(lines.iter().map(|line| line.len()).sum::<usize>())
    });
    println!(
        "{:<32} {:>7} {:>7} {:>9} {:>7} {:>9} {:>7}",
        "B/event by collection", "events", "JSON", "dict.", "ratio", "bin. dict.", "ratio"
    );
    for (name, lines) in groups.iter().take(12) {
        let owned: Vec<String> = lines.iter().map(|line| (*line).clone()).collect();
        let binary = binary(&owned)?;
        let json: Vec<&[u8]> = owned.iter().map(String::as_bytes).collect();
        let binary: Vec<&[u8]> = binary.iter().map(Vec::as_slice).collect();
        let plain = json.iter().map(|line| line.len()).sum::<usize>() as f64 / json.len() as f64;
        let (small, _, _) = pack(&json, &dictionaries.json, 1)?;
        let (smaller, _, _) = pack(&binary, &dictionaries.binary, 1)?;
        let each = |frames: &[Vec<u8>]| {
            frames.iter().map(Vec::len).sum::<usize>() as f64 / json.len() as f64
        };
        println!(
            "{name:<32} {:>7} {plain:>7.0} {:>9.0} {:>7.3} {:>10.0} {:>7.3}",
            json.len(),
            each(&small),
            each(&small) / plain,
            each(&smaller),
            each(&smaller) / plain
        );
    }
    Ok(())
}

/// The processor time of compressing for many readers, once for all and once for each.
pub(crate) fn for_many(
    lines: &[String],
    dictionaries: &Dictionaries,
) -> Result<(), Box<dyn Error>> {
    let json: Vec<&[u8]> = lines.iter().map(String::as_bytes).collect();
    println!(
        "{:<28} {:>10} {:>10} {:>10}",
        "compression, µs per event", "1 reader", "10", "100"
    );
    for (name, size) in [
        ("dictionary, once for all", 1),
        ("batches of 16, once for all", 16),
    ] {
        let (_, once, _) = pack(&json, &dictionaries.json, size)?;
        println!("{name:<28} {once:>10.2} {once:>10.2} {once:>10.2}");
    }
    let mut cells = Vec::new();
    for readers in [1, 10, 100] {
        let mut streams = Vec::new();
        for _ in 0..readers {
            streams.push(StreamCompressor::new(Some(&dictionaries.json))?);
        }
        let mut piece = Vec::new();
        cells.push(each(json.len(), || {
            for event in &json {
                for stream in &mut streams {
                    piece.clear();
                    stream.compress(event, &mut piece)?;
                }
            }
            Ok(())
        })?);
    }
    println!(
        "{:<28} {:>10.2} {:>10.2} {:>10.2}",
        "a stream for each", cells[0], cells[1], cells[2]
    );
    Ok(())
}

fn binary(lines: &[String]) -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
    let mut encoder = BinaryEncoder::new();
    let form = |line: &String| {
        let mut event = Vec::new();
        encoder.encode(line, &mut event)?;
        Ok(event)
    };
    lines.iter().map(form).collect()
}

fn batches(
    name: &str,
    events: &[&[u8]],
    dictionary: &Dictionary,
    size: usize,
) -> Result<Measured, Box<dyn Error>> {
    let (frames, encode_us, decode_us) = pack(events, dictionary, size)?;
    let bytes = frames.iter().map(Vec::len).sum::<usize>() as f64 / events.len() as f64;
    Ok(Measured {
        encode_us: Some(encode_us),
        decode_us: Some(decode_us),
        ..Measured::plain(name, bytes)
    })
}

/// Frames, and the microseconds per event there and back.
type Packed = (Vec<Vec<u8>>, f64, f64);

/// Packs `size` events in each batch.
fn pack(events: &[&[u8]], dictionary: &Dictionary, size: usize) -> Result<Packed, Box<dyn Error>> {
    let mut single = dictionary.compressor();
    let mut several = BatchCompressor::new(dictionary.compressor());
    let mut encode = |batch: &[&[u8]], frame: &mut Vec<u8>| -> Result<(), Box<dyn Error>> {
        // Binary events may have newlines in them, and have no batches.
        match batch {
            [one] => Ok(single.compress(one, frame)?),
            all => Ok(several.compress(all.iter().copied(), frame)?),
        }
    };
    let mut frames = Vec::new();
    for batch in events.chunks(size) {
        let mut frame = Vec::new();
        encode(batch, &mut frame)?;
        frames.push(frame);
    }
    let mut frame = Vec::new();
    let encode_us = each(events.len(), || {
        for batch in events.chunks(size) {
            frame.clear();
            encode(batch, &mut frame)?;
        }
        Ok(())
    })?;
    let mut decoder = BatchDecompressor::new(dictionary.decompressor());
    let decode_us = each(events.len(), || {
        for frame in &frames {
            let lines = decoder.decompress(frame, LIMIT)?;
            std::hint::black_box(lines.count());
        }
        Ok(())
    })?;
    Ok((frames, encode_us, decode_us))
}

fn stream(
    name: &str,
    events: &[&[u8]],
    dictionary: Option<&Dictionary>,
) -> Result<Measured, Box<dyn Error>> {
    let mut encoder = StreamCompressor::new(dictionary)?;
    let mut pieces = Vec::new();
    for event in events {
        let mut piece = Vec::new();
        encoder.compress(event, &mut piece)?;
        pieces.push(piece);
    }
    let bytes = pieces.iter().map(Vec::len).sum::<usize>() as f64 / events.len() as f64;
    let mut piece = Vec::new();
    let encode_us = each(events.len(), || {
        for event in events {
            piece.clear();
            encoder.compress(event, &mut piece)?;
        }
        Ok(())
    })?;
    // A stream is read once, from its beginning on; to begin one is part of the time.
    let mut out = Vec::new();
    let decode_us = each(events.len(), || {
        let mut decoder = StreamDecompressor::new(dictionary)?;
        for piece in &pieces {
            out.clear();
            decoder.decompress(piece, LIMIT, &mut out)?;
        }
        Ok(())
    })?;
    Ok(Measured {
        encode_us: Some(encode_us),
        decode_us: Some(decode_us),
        ..Measured::plain(name, bytes)
    })
}

/// The processor time of this thread an event, in microseconds: the best of
/// several rounds, because other programs only ever add to it.
fn each(
    events: usize,
    mut round: impl FnMut() -> Result<(), Box<dyn Error>>,
) -> Result<f64, Box<dyn Error>> {
    let mut best = f64::INFINITY;
    let repeats = (ROUND_EVENTS / events.max(1)).max(1);
    for _ in 0..ROUNDS {
        let start = processor_time();
        for _ in 0..repeats {
            round()?;
        }
        let time = processor_time().saturating_sub(start).as_secs_f64();
        best = best.min(time * 1e6 / (repeats * events) as f64);
    }
    Ok(best)
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

const LIMIT: usize = 64 << 20;
const ROUNDS: usize = 7;
const ROUND_EVENTS: usize = 4_000;
