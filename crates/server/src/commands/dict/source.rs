use std::error::Error;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use jetwash::store::{self, EventKind, Location, Options, Read, Store};
use jetwash::{Filter, Kind, NetworkConfig, Pipeline};
use jetwash_sim::Network;

use super::arguments::Source;
use crate::log_folder;
use crate::progress;

/// Takes a line.
type Take<'a> = &'a mut dyn FnMut(&str) -> Result<(), Box<dyn Error>>;

/// Hands on each line of the source, and shows how far it is where there is somebody to see it.
///
/// Returns how many there were; it is an error if there were none.
pub(super) fn each_line(
    source: &Source,
    mut take: impl FnMut(&str) -> Result<(), Box<dyn Error>>,
) -> Result<u64, Box<dyn Error>> {
    let spinner = progress::spinner();
    let mut count = 0_u64;
    let mut take = |line: &str| {
        if line.is_empty() {
            return Ok(());
        }
        count += 1;
        if let Some(spinner) = &spinner
            && count.is_multiple_of(SHOWN)
        {
            spinner.set_message(format!("{count} events"));
            spinner.tick();
        }
        take(line)
    };
    if let Some(path) = &source.file {
        let named = |error| format!("{}: {error}", path.display());
        lines_of(path, &mut take).map_err(named)?;
    } else if let Some(folder) = &source.store {
        let copy = log_folder::open_copy(folder, None)?;
        lines_in(copy.store(), &mut take)?;
    } else if let Some(frames) = source.simulate {
        simulate(frames, &mut take)?;
    }
    if let Some(spinner) = &spinner {
        spinner.finish_and_clear();
    }
    if count == 0 {
        return Err("there are no events in it".into());
    }
    Ok(count)
}

fn lines_of(path: &Path, take: Take<'_>) -> Result<(), Box<dyn Error>> {
    if path == Path::new("-") {
        return read_lines(io::stdin().lock(), take);
    }
    let file = BufReader::new(File::open(path)?);
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("zst") => read_lines(BufReader::new(zstd::Decoder::with_buffer(file)?), take),
        Some("gz") => read_lines(BufReader::new(MultiGzDecoder::new(file)), take),
        _ => read_lines(file, take),
    }
}

fn read_lines(mut reader: impl BufRead, take: Take<'_>) -> Result<(), Box<dyn Error>> {
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let read = (&mut reader).take(MAX_LINE).read_until(b'\n', &mut line)?;
        if read == 0 {
            break;
        }
        let bad = |what: &str| format!("line {number}: {what}");
        if read as u64 == MAX_LINE {
            return Err(bad("longer than any event is").into());
        }
        let text = str::from_utf8(&line).map_err(|_| bad("it is not UTF-8, so not JSON"))?;
        let text = text.trim_end();
        if !text.is_empty() && !text.starts_with('{') {
            return Err(bad("it is not a JSON object, as an event is").into());
        }
        take(text)?;
    }
    Ok(())
}

fn lines_in(log: &Store, take: Take<'_>) -> Result<(), Box<dyn Error>> {
    let mut position = log.bounds().oldest_seq;
    loop {
        match log.read(position)? {
            Read::Events(run) => {
                let (kinds, page) = (run.block().kinds(), run.block().json()?);
                // Dictionaries are for the lines of version 1, which has no syncs.
                let is_sync = |&index: &usize| kinds.get(index) == Some(&EventKind::Sync);
                let indexes = run.indexes().filter(|index| !is_sync(index));
                let lines = indexes.filter_map(|index| page.get(index));
                lines
                    .filter_map(|line| str::from_utf8(line).ok())
                    .try_for_each(&mut *take)?;
                position = run.next_seq();
            }
            Read::Gap(gap) => position = gap.next_seq,
            Read::AtTip => return Ok(()),
        }
    }
}

fn simulate(frames: usize, take: Take<'_>) -> Result<(), Box<dyn Error>> {
    let config = NetworkConfig {
        accounts: 2_000,
        ..NetworkConfig::full_size()
    };
    let (appender, log) = store::open(Location::Memory, Options::default())?;
    let kinds = Filter::new().kinds([Kind::Commit, Kind::Identity, Kind::Account]);
    let mut pipeline = Pipeline::new(appender).filter(kinds);
    let mut time = config.start;
    for frame in Network::new(config)?.take(frames) {
        pipeline.frame("simulator", &frame.bytes, time)?;
        time = time.next();
    }
    pipeline.commit()?;
    lines_in(&log, take)
}

/// The progress is shown each time when this number of events has come.
const SHOWN: u64 = 1_000;
const MAX_LINE: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn lines(path: &Path) -> Result<Vec<String>, String> {
        let source = Source {
            file: Some(path.to_owned()),
            store: None,
            simulate: None,
        };
        let mut lines = Vec::new();
        let read = each_line(&source, |line| {
            lines.push(line.to_owned());
            Ok(())
        });
        read.map(|_| lines).map_err(|error| error.to_string())
    }

    #[test]
    fn files_may_be_packed() {
        let folder = tempfile::tempdir().unwrap();
        let text = "{\"a\":1}\n\n{\"b\":2}";
        let path = |name| folder.path().join(name);
        std::fs::write(path("plain.jsonl"), text).unwrap();
        let packed = zstd::encode_all(text.as_bytes(), 1).unwrap();
        std::fs::write(path("lines.zst"), packed).unwrap();
        let level = flate2::Compression::fast();
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), level);
        packed.write_all(text.as_bytes()).unwrap();
        std::fs::write(path("lines.gz"), packed.finish().unwrap()).unwrap();
        for name in ["plain.jsonl", "lines.zst", "lines.gz"] {
            assert_eq!(lines(&path(name)).unwrap(), ["{\"a\":1}", "{\"b\":2}"]);
        }
    }

    #[test]
    fn errors_say_which_line_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        std::fs::write(&path, "{}\nnot an event\n").unwrap();
        assert!(
            lines(&path)
                .unwrap_err()
                .ends_with("line 2: it is not a JSON object, as an event is")
        );
        std::fs::write(&path, "").unwrap();
        assert_eq!(lines(&path).unwrap_err(), "there are no events in it");
        assert!(lines(&folder.path().join("nowhere")).is_err());
    }
}
