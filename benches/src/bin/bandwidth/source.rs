use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use jetwash::store::{self, Location, Options, Read, Store};
use jetwash::{Dictionary, Jetstream, Micros, Pipeline};

use crate::arguments::Arguments;

/// The events to measure.
pub(crate) struct Recorded {
    pub(crate) lines: Vec<String>,
    /// The bytes of the frames that the lines came in, if they are known.
    pub(crate) frame_bytes: Option<u64>,
    /// Lines of other accounts, to train dictionaries on.
    pub(crate) training: Vec<String>,
    pub(crate) other: Option<Dictionary>,
    pub(crate) origin: String,
}

pub(crate) fn recorded(arguments: &Arguments) -> Result<Recorded, Box<dyn Error>> {
    let (lines, frame_bytes, origin) = if let Some(path) = &arguments.frames {
        from_frames(&unpacked(path)?, &path.display().to_string())?
    } else if let Some(folder) = &arguments.store {
        let location = Location::Disk(folder.clone());
        let (_appender, log) = store::open(location, Options::default())?;
        (
            lines_in(&log)?,
            None,
            format!("the log in {}", folder.display()),
        )
    } else if let Some(relay) = &arguments.relay {
        listen(relay, arguments)?
    } else {
        let corpus = jetwash_corpus::corpus("the comparison without --frames, --store or --relay");
        let corpus = corpus.ok_or("name --frames, --store or --relay")?;
        let frames = corpus.bytes("firehose-2026-07-04/frames.bin.zst");
        from_frames(&frames, "recorded frames")?
    };
    let mut recorded = Recorded {
        lines,
        frame_bytes,
        training: Vec::new(),
        other: None,
        origin,
    };
    let corpus = jetwash_corpus::corpus("the official dictionary and public events");
    recorded.other = match (&arguments.dictionary, &corpus) {
        (Some(path), _) => Some(Dictionary::from_bytes(fs::read(path)?)?),
        (None, Some(corpus)) => {
            let official = corpus.bytes("dictionaries/legacy_subscribe.zdict");
            Some(Dictionary::from_bytes(official)?)
        }
        (None, None) => None,
    };
    let is_recorded = arguments.store.is_none() && arguments.relay.is_none();
    if let Some(path) = &arguments.train {
        recorded.training = text_lines(&unpacked(path)?)?;
    } else if let Some(corpus) = corpus.filter(|_| is_recorded) {
        recorded.training = corpus.lines("events/events_v1_from_repos.jsonl.zst");
    } else {
        part(&mut recorded);
    }
    Ok(recorded)
}

/// Half of the accounts are for training, the others for measuring.
fn part(recorded: &mut Recorded) {
    let lines = std::mem::take(&mut recorded.lines);
    let all: usize = lines.iter().map(String::len).sum();
    let is_for_training = |line: &String| {
        let did = line.split('"').nth(3).unwrap_or_default();
        did.bytes()
            .fold(7_u32, |hash, byte| hash.wrapping_mul(31) + u32::from(byte))
            % 2
            == 0
    };
    (recorded.training, recorded.lines) = lines.into_iter().partition(is_for_training);
    let left: usize = recorded.lines.iter().map(String::len).sum();
    recorded.frame_bytes = recorded
        .frame_bytes
        .map(|bytes| (bytes as f64 * left as f64 / all.max(1) as f64) as u64);
}

type Lines = (Vec<String>, Option<u64>, String);

fn from_frames(bytes: &[u8], name: &str) -> Result<Lines, Box<dyn Error>> {
    let (appender, log) = store::open(Location::Memory, Options::default())?;
    let mut pipeline = Pipeline::new(appender);
    let (mut rest, mut frame_bytes, mut count) = (bytes, 0, 0_u64);
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = u32::from_le_bytes(*length) as usize;
        let cut = || format!("{name}: the file ends inside frame {count}");
        let (frame, after) = after.split_at_checked(length).ok_or_else(cut)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        pipeline.frame(name, frame, Micros::new(u64::try_from(now.as_micros())?))?;
        frame_bytes += length as u64;
        count += 1;
        rest = after;
    }
    pipeline.commit()?;
    Ok((
        lines_in(&log)?,
        Some(frame_bytes),
        format!("{count} frames of {name}"),
    ))
}

fn listen(relay: &str, arguments: &Arguments) -> Result<Lines, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let (jetstream, ingest) = Jetstream::builder().relay(relay).build()?;
    println!("listening to {relay} for {:?}", arguments.listen_for);
    runtime.block_on(async { ingest.run(tokio::time::sleep(arguments.listen_for)).await })?;
    let lines = lines_in(jetstream.store())?;
    let bytes = jetstream.snapshot().frame_bytes;
    Ok((
        lines,
        Some(bytes),
        format!("{relay}, for {:?}", arguments.listen_for),
    ))
}

fn lines_in(log: &Store) -> Result<Vec<String>, Box<dyn Error>> {
    let mut lines = Vec::new();
    let mut position = log.bounds().oldest_seq;
    loop {
        match log.read(position)? {
            Read::Events(run) => {
                let page = run.block().json()?;
                for line in run.indexes().filter_map(|index| page.get(index)) {
                    lines.push(String::from_utf8(line.to_vec())?);
                }
                position = run.next_seq();
            }
            Read::Gap(gap) => position = gap.next_seq,
            Read::AtTip if lines.is_empty() => return Err("there are no events in it".into()),
            Read::AtTip => return Ok(lines),
        }
    }
}

fn unpacked(path: &Path) -> Result<Vec<u8>, Box<dyn Error>> {
    let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    if path.extension().is_some_and(|extension| extension == "zst") {
        return Ok(zstd::decode_all(&bytes[..])?);
    }
    Ok(bytes)
}

fn text_lines(bytes: &[u8]) -> Result<Vec<String>, Box<dyn Error>> {
    let lines = str::from_utf8(bytes)?.lines();
    Ok(lines
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect())
}
