//! Sets of accounts from files.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jetwash::{DidFile, DidFileError, DidSet};
use tempfile::TempDir;

const A: &str = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "did:plc:bbbbbbbbbbbbbbbbbbbbbbbb";
const EVERY: Duration = Duration::from_millis(10);

fn file_with(content: impl AsRef<[u8]>) -> (TempDir, PathBuf, DidFile) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dids.txt");
    fs::write(&path, content).unwrap();
    let file = DidFile::new(&path, DidSet::new());
    (folder, path, file)
}

/// Puts a file in place of another, as editors and `save` do.
fn put(path: &Path, content: &str) {
    let beside = path.with_extension("tmp");
    fs::write(&beside, content).unwrap();
    fs::rename(beside, path).unwrap();
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn comments_blank_lines_and_line_ends_do_not_matter() {
    let text = format!("\u{feff}# Danes\r\n\r\n  {A}  # Anne\r\n\n{B}\n{A}\ndid:web:c.example");
    let (_folder, _path, file) = file_with(text);
    assert_eq!(file.load().unwrap().count(), 3);
    for did in [A, B, "did:web:c.example"] {
        assert!(file.set().contains(did));
    }
}

#[test]
fn compressed_files_are_told_by_their_first_bytes() {
    let text = format!("{A}\n{B}\n");
    // Two members, one after the other, as `cat` makes of two files.
    let two = [gzip(A.as_bytes()), gzip(b"\n"), gzip(B.as_bytes())].concat();
    let zstd = zstd::encode_all(text.as_bytes(), 3).unwrap();
    for content in [gzip(text.as_bytes()), two, zstd] {
        let (_folder, _path, file) = file_with(content);
        assert_eq!(file.load().unwrap().count(), 2);
        assert!(file.set().contains(A) && file.set().contains(B));
    }
}

#[test]
fn what_is_wrong_is_told_with_its_line_and_changes_nothing() {
    let long = format!("{A}\n# {}\n", "x".repeat(5000));
    let cases: [(&[u8], &str); 5] = [
        (
            b"did:web:a.example\n\nalice\n",
            ":3: `alice` is not a DID: does not start with `did:`",
        ),
        (
            b"did:web:a.example did:web:b.example",
            ":1: `did:web:a.example did:web:b.example` is not a DID: a character other than letters, digits and `.` `_` `:` `%` `-`",
        ),
        (b"# one\n\xff\n", ":2: not UTF-8"),
        (long.as_bytes(), ":2: longer than 4096 bytes"),
        (
            b"did:plc:\n",
            ":1: `did:plc:` is not a DID: nothing after the method",
        ),
    ];
    for (content, expected) in cases {
        let (_folder, path, file) = file_with(content);
        file.set().add(B).unwrap();
        let error = file.load().unwrap_err();
        assert_eq!(error.to_string(), format!("{}{expected}", path.display()));
        assert!(file.set().contains(B) && file.set().len() == 1);
        assert!(file.status().borrow().error.is_some());
    }
}

#[test]
fn a_file_that_cannot_be_read_is_told_as_such() {
    let text: String = (0..50_000)
        .map(|number| format!("did:web:{number}.example\n"))
        .collect();
    let whole = gzip(text.as_bytes());
    let (_folder, path, file) = file_with(&whole[..whole.len() / 2]);
    let error = file.load().unwrap_err();
    assert!(
        matches!(&*error, DidFileError::Read { line: 1.., .. }),
        "{error}"
    );
    assert!(file.set().is_empty());
    fs::remove_file(&path).unwrap();
    let error = file.load().unwrap_err();
    assert!(
        matches!(&*error, DidFileError::Read { line: 0, .. }),
        "{error}"
    );
}

#[test]
fn what_is_saved_is_loaded_again() {
    let (_folder, path, file) = file_with("");
    file.set().add_all([B, A, "did:web:c.example"]).unwrap();
    file.save().unwrap();
    let saved = fs::read_to_string(&path).unwrap();
    assert_eq!(saved, format!("{A}\n{B}\ndid:web:c.example\n"));
    let again = DidFile::new(&path, DidSet::new());
    assert_eq!(again.load().unwrap().count(), 3);
    // Nothing is left beside it.
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn a_file_that_cannot_be_saved_is_told() {
    let (folder, path, file) = file_with("");
    fs::remove_dir_all(folder.path()).unwrap();
    let error = file.save().unwrap_err().to_string();
    let expected = format!("{}: cannot be saved: ", path.display());
    assert!(error.starts_with(&expected), "{error}");
}

#[tokio::test]
async fn a_watched_file_is_loaded_when_it_changes_and_kept_when_it_is_wrong() {
    let (_folder, path, file) = file_with(format!("{A}\n"));
    let mut status = file.status();
    let watch = tokio::spawn(file.clone().watch(EVERY));
    status.wait_for(|status| status.loads == 1).await.unwrap();
    assert!(file.set().contains(A));
    put(&path, &format!("{B}\nalice\n"));
    let failed = status.wait_for(|status| status.error.is_some()).await;
    let error = failed.unwrap().error.as_ref().unwrap().to_string();
    assert!(error.contains("dids.txt:2: `alice`"), "{error}");
    assert!(file.set().contains(A) && !file.set().contains(B));
    fs::remove_file(&path).unwrap();
    let is_gone = |error: &DidFileError| matches!(error, DidFileError::Read { .. });
    status
        .wait_for(|status| status.error.as_deref().is_some_and(is_gone))
        .await
        .unwrap();
    assert!(file.set().contains(A));
    put(&path, &format!("{B}\n"));
    let loaded = status.wait_for(|status| status.loads == 2).await.unwrap();
    assert!(loaded.error.is_none());
    drop(loaded);
    assert!(file.set().contains(B) && !file.set().contains(A));
    watch.abort();
}

/// An account added after a save, and not saved yet, is not lost to the watch.
#[tokio::test]
async fn a_watch_does_not_load_what_was_saved_by_itself() {
    let (_folder, path, file) = file_with(format!("{A}\n"));
    let mut status = file.status();
    let watch = tokio::spawn(file.clone().watch(EVERY));
    status.wait_for(|status| status.loads == 1).await.unwrap();
    file.save().unwrap();
    file.set().add(B).unwrap();
    // Another file with the same name is loaded, once; the saved one was not.
    let other = DidFile::new(&path, DidSet::new());
    other.set().add_all([A, "did:web:c.example"]).unwrap();
    assert!(file.set().contains(B));
    other.save().unwrap();
    status.wait_for(|status| status.loads == 2).await.unwrap();
    assert!(!file.set().contains(B) && file.set().contains("did:web:c.example"));
    watch.abort();
}
