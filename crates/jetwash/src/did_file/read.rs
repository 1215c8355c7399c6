//! The lines of a file, into a set.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use jetwash_event::{DidChange, DidSet};

use super::error::DidFileError;

/// Puts what a file lists in place of all that is in a set.
pub(super) fn replace(path: &Path, set: &DidSet) -> Result<DidChange, DidFileError> {
    let unreadable = |line: u64, source| DidFileError::Read {
        path: path.to_owned(),
        line,
        source,
    };
    let mut lines = open(path).map_err(|source| unreadable(0, source))?;
    // Nothing is put into the set before the last line is read: a file with a mistake changes
    // nothing.
    let mut replacement = set.replacement();
    let mut buffer = Vec::new();
    for line in 1.. {
        buffer.clear();
        let mut limited = lines.by_ref().take(LONGEST_LINE + 1);
        let read = limited.read_until(b'\n', &mut buffer);
        if read.map_err(|source| unreadable(line - 1, source))? == 0 {
            break;
        }
        let wrong = |what| DidFileError::Line {
            path: path.to_owned(),
            line,
            what,
        };
        let did = did_of(&buffer).map_err(wrong)?;
        if !did.is_empty() {
            let explain = |rule: &str| wrong(format!("`{}` is not a DID: {rule}", excerpt(did)));
            replacement
                .add(did)
                .map_err(|error| explain(error.rule()))?;
        }
    }
    Ok(replacement.finish())
}

/// Returns the line without comment and spaces, which may be empty.
fn did_of(line: &[u8]) -> Result<&str, String> {
    if line.len() as u64 > LONGEST_LINE {
        return Err(format!("longer than {LONGEST_LINE} bytes"));
    }
    let line = std::str::from_utf8(line).map_err(|_| "not UTF-8".to_owned())?;
    let line = line.strip_prefix('\u{feff}').unwrap_or(line);
    let did = line.split_once('#').map_or(line, |(did, _comment)| did);
    Ok(did.trim())
}

fn excerpt(value: &str) -> &str {
    const LENGTH: usize = 100;
    match value.char_indices().nth(LENGTH) {
        Some((end, _)) => &value[..end],
        None => value,
    }
}

fn open(path: &Path) -> io::Result<Box<dyn BufRead>> {
    let mut file = BufReader::new(File::open(path)?);
    let start = file.fill_buf()?;
    Ok(if start.starts_with(GZIP) {
        Box::new(BufReader::new(MultiGzDecoder::new(file)))
    } else if start.starts_with(ZSTD) {
        let decoder = zstd::stream::read::Decoder::with_buffer(file)?;
        Box::new(BufReader::new(decoder))
    } else {
        Box::new(file)
    })
}

const GZIP: &[u8] = b"\x1f\x8b";
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";

/// The longest DID, and room for a comment.
const LONGEST_LINE: u64 = 4096;
