//! The cache on disk, whole and damaged.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};

use jetwash_identity::{DiskCache, FileCache, FileCacheError};

use crate::reopen;

#[test]
fn values_and_the_note_survive_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache");
    let cache = FileCache::open(&path, 1 << 20).unwrap();
    assert_eq!(cache.get(b"key").unwrap(), None);
    assert_eq!(cache.note().unwrap(), None);
    assert!(cache.put(b"key", b"first").unwrap());
    assert!(cache.put(b"key", b"second").unwrap());
    assert!(cache.put(b"other", b"").unwrap());
    cache.set_note(b"a note").unwrap();
    drop(cache);
    let cache = reopen(&path, 1 << 20);
    assert_eq!(cache.get(b"key").unwrap().unwrap(), b"second");
    assert_eq!(cache.get(b"other").unwrap().unwrap(), b"");
    assert_eq!(cache.note().unwrap().unwrap(), b"a note");
    cache.remove(b"key").unwrap();
    cache.remove(b"never there").unwrap();
    assert_eq!(cache.get(b"key").unwrap(), None);
    cache.set_note(&[7; 257]).unwrap_err();
    assert_eq!(cache.note().unwrap().unwrap(), b"a note");
}

#[test]
fn a_file_never_grows_and_the_oldest_entries_go_first() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache");
    let cache = FileCache::open(&path, FileCache::MIN_BYTES + 1).unwrap();
    assert_eq!(cache.size(), 8192);
    for round in 0..3_u32 {
        for number in 0..16_u32 {
            let key = format!("{}", round * 16 + number);
            assert!(cache.put(key.as_bytes(), &number.to_le_bytes()).unwrap());
        }
    }
    assert!(cache.put(b"48", b"new").unwrap());
    let kept = |number: u32| cache.get(number.to_string().as_bytes()).unwrap().is_some();
    let kept: Vec<u32> = (0..50).filter(|number| kept(*number)).collect();
    assert_eq!(kept, (33..=48).collect::<Vec<u32>>());
    assert_eq!(fs::metadata(&path).unwrap().len(), 8192);
}

#[test]
fn a_value_that_is_too_long_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let cache = FileCache::open(folder.path().join("cache"), 8192).unwrap();
    assert!(cache.put(b"key", &[7; 256 - 12 - 3]).unwrap());
    assert!(!cache.put(b"other", &[7; 256 - 12 - 4]).unwrap());
    assert_eq!(cache.get(b"other").unwrap(), None);
    assert!(!cache.put(b"", b"a key is needed").unwrap());
}

#[test]
fn an_entry_with_any_byte_changed_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache");
    let cache = FileCache::open(&path, 8192).unwrap();
    cache.put(b"key", b"value").unwrap();
    cache.set_note(b"note").unwrap();
    let file = fs::OpenOptions::new().read(true).write(true).open(&path);
    let file = file.unwrap();
    for (start, length) in [(4096, 256), (1024, 262)] {
        for place in start..start + length {
            let mut byte = [0];
            file.read_exact_at(&mut byte, place).unwrap();
            file.write_all_at(&[byte[0] ^ 0x10], place).unwrap();
            let (value, note) = (cache.get(b"key").unwrap(), cache.note().unwrap());
            assert!(value.is_none() || note.is_none(), "byte {place}");
            file.write_all_at(&byte, place).unwrap();
        }
    }
    assert_eq!(cache.get(b"key").unwrap().unwrap(), b"value");
    assert_eq!(cache.note().unwrap().unwrap(), b"note");
}

#[test]
fn a_file_that_was_cut_short_or_is_something_else_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache");
    let is_kept = |damage: &dyn Fn()| {
        let cache = reopen(&path, 16_384);
        cache.put(b"key", b"value").unwrap();
        drop(cache);
        damage();
        let cache = reopen(&path, 16_384);
        let is_kept = cache.get(b"key").unwrap().is_some();
        assert!(cache.put(b"key", b"again").unwrap());
        assert_eq!(fs::metadata(&path).unwrap().len(), 16_384);
        is_kept
    };
    let write = |bytes: &[u8], place| {
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(bytes, place).unwrap();
    };
    assert!(is_kept(&|| {}));
    assert!(!is_kept(&|| {
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(5000).unwrap();
    }));
    assert!(!is_kept(&|| write(b"another file", 0)));
    assert!(!is_kept(&|| write(&[7], 20)), "a changed salt");
    assert!(!is_kept(&|| fs::write(&path, vec![0; 16_384]).unwrap()));
}

#[test]
fn a_file_has_one_user_and_a_size() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache");
    let first = FileCache::open(&path, 8192).unwrap();
    let second = FileCache::open(&path, 8192);
    assert!(matches!(second, Err(FileCacheError::InUse { .. })));
    drop(first);
    reopen(&path, 8192);
    let small = FileCache::open(&path, 8191);
    assert!(matches!(small, Err(FileCacheError::TooSmall { .. })));
    let nowhere = FileCache::open(folder.path().join("no/folder"), 8192);
    assert!(matches!(nowhere, Err(FileCacheError::File { .. })));
}

#[test]
fn threads_may_share_it() {
    let folder = tempfile::tempdir().unwrap();
    let cache = FileCache::open(folder.path().join("cache"), 1 << 20).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4_u32 {
            let cache = &cache;
            scope.spawn(move || {
                for number in 0..500_u32 {
                    let key = [thread.to_le_bytes(), number.to_le_bytes()].concat();
                    assert!(cache.put(&key, &key).unwrap());
                    assert_eq!(cache.get(&key).unwrap().as_ref(), Some(&key));
                }
            });
        }
    });
}

/// The process that is killed: it keeps one value after the other, and says which are kept.
#[test]
#[ignore = "only the test of a killed process runs it"]
fn writing_without_end() {
    let Some(path) = std::env::var_os("JETWASH_IDENTITY_CACHE") else {
        return;
    };
    let cache = reopen(Path::new(&path), 4 << 20);
    for number in 0_u64.. {
        let (key, value) = (number.to_le_bytes(), [number as u8; 200]);
        cache.put(&key, &value).unwrap();
        println!("kept {number}");
    }
}

#[test]
fn a_killed_process_leaves_all_that_it_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache");
    for round in 1..=10 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "file_cache::writing_without_end",
                "--ignored",
                "--nocapture",
            ])
            .env("JETWASH_IDENTITY_CACHE", &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let numbers = lines.map_while(Result::ok).filter_map(|line| {
            let number = line.split("kept ").nth(1)?;
            number.parse::<u64>().ok()
        });
        let last = numbers.take(37 * round).last().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let cache = reopen(&path, 4 << 20);
        for number in 0..=last {
            let value = cache.get(&number.to_le_bytes()).unwrap();
            assert_eq!(value.unwrap(), [number as u8; 200], "{number} of {last}");
        }
    }
}
