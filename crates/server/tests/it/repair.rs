//! A log that is damaged.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{Program, refused, tail};

#[test]
fn a_damaged_file_is_named_with_the_way_out_and_a_repair_serves_what_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let data = format!("--data-dir={}", folder.path().display());
    // So fast that the log gets tables of its events while it runs.
    let mut program = Program::start(&[&data, "--sim-rate=max"]);
    let url = program.url();
    assert!(tail(&[&url, "--count=20000"]).status.success());
    let (ended, lines) = program.stop();
    assert!(ended, "{lines:#?}");

    let table = a_table(&folder.path().join("log/keyspaces"));
    let mut bytes = fs::read(&table).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&table, bytes).unwrap();
    let said = refused(&[&data]);
    let name = table.strip_prefix(folder.path().join("log")).unwrap();
    assert!(said.contains(name.to_str().unwrap()), "{said}");
    assert!(said.contains("jetwash-server --repair"), "{said}");

    let mut program = Program::start(&[&data, "--repair", "--sim-rate=1"]);
    let damaged = program.line("repair: damaged: ");
    assert!(damaged.contains(name.to_str().unwrap()), "{damaged}");
    assert!(program.line("repair: put aside in: ").contains("damaged-1"));
    let kept = program.line("repair: kept: ");
    let (_, kept) = kept.split_once("kept: ").unwrap();
    let (kept, _) = kept.split_once(" events").unwrap();
    let kept: usize = kept.parse().unwrap();
    assert!(kept > 10_000, "{kept}");
    // Version 1 leaves out the syncs, which are less than one event in a hundred.
    let count = kept - kept / 100;
    let url = program.url();
    let read = tail(&[&url, "--cursor=0", &format!("--count={count}")]);
    assert!(read.status.success());
    let lines = String::from_utf8(read.stdout).unwrap().lines().count();
    assert_eq!(lines, count);
    assert!(program.stop().0);

    // What was repaired is sound.
    let mut program = Program::start(&[&data]);
    let _ = program.url();
    assert!(program.stop().0);
}

/// A table of a bucket of events, which are the last of the keyspaces.
fn a_table(keyspaces: &Path) -> PathBuf {
    let mut tables = Vec::new();
    for keyspace in fs::read_dir(keyspaces).unwrap() {
        let keyspace = keyspace.unwrap();
        let number: u64 = keyspace.file_name().to_str().unwrap().parse().unwrap();
        let Ok(files) = fs::read_dir(keyspace.path().join("tables")) else {
            continue;
        };
        for table in files {
            tables.push((number, table.unwrap().path()));
        }
    }
    tables.sort();
    tables.pop().expect("a keyspace with a table").1
}
