#![allow(clippy::panic, reason = "a test helper fails the test that calls it")]
//! Reads the recorded test data that `JETWASH_CORPUS` points to. For tests and benches only.
//!
//! The recordings are other people's data, so they lie beside the project and never in it. A test
//! that needs them asks for [`corpus`], and is skipped, with a line that says so, where the
//! variable is unset.

use std::env;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The folder that `JETWASH_CORPUS` names, or `None` with a line on standard output.
///
/// The line is written past the capture of the test harness, so that a skipped test is seen.
/// A relative folder is looked for in the current directory and its parents, because cargo runs
/// each test binary in its package's own directory.
///
/// # Panics
///
/// When the variable is set but no such folder exists: a wrong path must not pass for a skip.
///
/// # Examples
///
/// ```
/// let Some(corpus) = jetwash_corpus::corpus("the example") else { return };
/// assert_eq!(corpus.frames("firehose-2026-07-04/frames.bin.zst").len(), 100);
/// ```
#[must_use]
pub fn corpus(test: &str) -> Option<Corpus> {
    let Some(value) = env::var_os("JETWASH_CORPUS") else {
        let line = format!("skipped: {test} (JETWASH_CORPUS is not set)\n");
        let _ = std::io::stdout().write_all(line.as_bytes());
        return None;
    };
    let here = env::current_dir().unwrap_or_default();
    let folder = here
        .ancestors()
        .map(|parent| parent.join(&value))
        .find(|path| path.is_dir());
    match folder {
        Some(folder) => Some(Corpus { folder }),
        None => panic!(
            "JETWASH_CORPUS names no folder: {}",
            Path::new(&value).display()
        ),
    }
}

/// The recorded data, one method per shape of file. Each panics with the path it could not read.
///
/// # Examples
///
/// ```
/// use jetwash_corpus::corpus;
///
/// // `None` where the data is not there; the reason is printed.
/// if let Some(corpus) = corpus("real frames") {
///     assert_eq!(corpus.frames("firehose-2026-07-04/frames.bin.zst").len(), 100);
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Corpus {
    folder: PathBuf,
}

impl Corpus {
    /// The path of a file in the corpus.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The bytes of a file; unpacked if its name ends in `.zst`.
    #[must_use]
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        let path = self.path(name);
        let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        if path.extension().is_some_and(|extension| extension == "zst") {
            zstd::decode_all(&bytes[..])
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        } else {
            bytes
        }
    }

    /// The text of a file; unpacked if its name ends in `.zst`.
    #[must_use]
    pub fn text(&self, name: &str) -> String {
        String::from_utf8(self.bytes(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The lines of a file, neither trimmed nor filtered.
    #[must_use]
    pub fn lines(&self, name: &str) -> Vec<String> {
        self.text(name).lines().map(str::to_owned).collect()
    }

    /// The lines of a syntax list: blank lines and those that start with `#` are left out.
    #[must_use]
    pub fn syntax_list(&self, name: &str) -> Vec<String> {
        let mut lines = self.lines(name);
        lines.retain(|line| !line.is_empty() && !line.starts_with('#'));
        lines
    }

    /// A JSON file.
    #[must_use]
    pub fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&self.bytes(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// A file of one JSON value a line.
    #[must_use]
    pub fn json_lines(&self, name: &str) -> Vec<Value> {
        let parse = |line: &String| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{name}: {error}"))
        };
        self.lines(name).iter().map(parse).collect()
    }

    /// A file of frames: a little-endian `u32` length before each.
    #[must_use]
    pub fn frames(&self, name: &str) -> Vec<Vec<u8>> {
        let bytes = self.bytes(name);
        let mut rest = &bytes[..];
        let mut frames = Vec::new();
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let length = u32::from_le_bytes(*length) as usize;
            assert!(length <= after.len(), "{name}: the last frame is cut short");
            let (frame, after) = after.split_at(length);
            frames.push(frame.to_vec());
            rest = after;
        }
        assert!(
            rest.is_empty(),
            "{name}: {} bytes after the last frame",
            rest.len()
        );
        frames
    }
}
