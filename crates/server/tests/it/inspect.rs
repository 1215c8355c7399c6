//! `inspect`: the contents of a log, and that looking changes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::SystemTime;

use serde_json::Value;

use crate::{Program, command, tail};

/// All files below a folder, with their times and bytes.
fn contents(folder: &Path) -> BTreeMap<PathBuf, (SystemTime, Vec<u8>)> {
    let (mut files, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let (path, metadata) = (entry.path(), entry.metadata().unwrap());
            let time = metadata.modified().unwrap();
            if metadata.is_dir() {
                files.insert(path.clone(), (time, Vec::new()));
                folders.push(path);
            } else {
                let bytes = fs::read(&path).unwrap();
                files.insert(path, (time, bytes));
            }
        }
    }
    files
}

fn said(output: &Output) -> (Option<i32>, String) {
    let text = [&*output.stdout, &*output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

/// The report of a command that prints JSON and ends with this code.
fn report(arguments: &[&str], expected: i32) -> Value {
    let output = command(arguments);
    let (code, text) = said(&output);
    assert_eq!(code, Some(expected), "{text}");
    serde_json::from_slice(&output.stdout).expect(&text)
}

/// A data folder with a log of some thousand events, closed in order.
fn closed_log() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let data = format!("--data-dir={}/data", folder.path().display());
    let mut program = Program::start(&[&data, "--sim-rate=max"]);
    let url = program.url();
    assert!(tail(&[&url, "--count=20000", "--quiet"]).status.success());
    assert!(program.stop().0);
    folder
}

#[test]
fn a_log_is_told_of_verified_and_printed_and_not_changed() {
    let folder = closed_log();
    let data = folder.path().join("data");
    let before = contents(&data);
    let path = data.to_str().unwrap();

    let told = report(&["inspect", path, "--json"], 0);
    let events = told["events"].as_u64().unwrap();
    assert!(events >= 20_000, "{told}");
    assert_eq!(told["format"], 5, "{told}");
    assert_eq!(told["next_seq"], events + 1, "{told}");
    let kinds = told["kinds"].as_object().unwrap();
    let counted: u64 = kinds.values().filter_map(Value::as_u64).sum();
    assert_eq!(counted, events, "{told}");
    let collections = told["collections"].as_array().unwrap();
    let posts = collections
        .iter()
        .find(|it| it["name"] == "app.bsky.feed.post");
    assert!(posts.unwrap()["events"].as_u64() > Some(0), "{told}");

    let (code, report) = said(&command(&["inspect", path, "--verify"]));
    assert_eq!(code, Some(0), "{report}");
    let sound = format!("all files and {events} events are as they were written");
    assert!(report.contains(&sound), "{report}");

    let printed = command(&["inspect", path, "--events", "--from=100", "--limit=5"]);
    let (code, lines) = said(&printed);
    assert_eq!((code, lines.lines().count()), (Some(0), 5), "{lines}");
    let all = command(&["inspect", path, "--events", "--json"]).stdout;
    let all = String::from_utf8(all).unwrap();
    assert_eq!(all.lines().count() as u64, events);
    let hundredth = all.lines().nth(99).unwrap();
    assert!(hundredth.contains("\"seq\":100"), "{hundredth}");
    assert!(
        hundredth.contains(lines.lines().next().unwrap()),
        "{hundredth}"
    );

    assert!(contents(&data) == before, "the data folder has changed");
    let beside = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(beside, 1, "a copy is left");
}

#[test]
fn a_log_is_looked_into_while_a_server_writes_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let data = format!("--data-dir={}", path.display());
    let mut program = Program::start(&[&data, "--sim-rate=2000"]);
    let url = program.url();
    let mut last = 0;
    for _ in 0..3 {
        assert!(tail(&[&url, "--count=1000", "--quiet"]).status.success());
        let told = report(
            &["inspect", path.to_str().unwrap(), "--verify", "--json"],
            0,
        );
        assert_eq!(told["check"]["is_sound"], true, "{told}");
        assert_eq!(told["lost"], serde_json::json!({}), "{told}");
        let events = told["events"].as_u64().unwrap();
        assert!(events >= last + 1000, "{events} after {last}: {told}");
        last = events;
    }
    assert!(program.stop().0);
}

#[test]
fn damage_is_named_and_ends_with_3() {
    let folder = closed_log();
    let data = folder.path().join("data");
    let keyspaces = data.join("log/keyspaces");
    let files = contents(&keyspaces);
    let is_values = |path: &&PathBuf| path.parent().unwrap().ends_with("blobs");
    let values = files.keys().rfind(is_values).unwrap();
    let mut bytes = files[values].1.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(values, bytes).unwrap();
    let name = values.strip_prefix(data.join("log")).unwrap();

    let path = data.to_str().unwrap();
    let (code, report) = said(&command(&["inspect", path, "--verify"]));
    assert_eq!(code, Some(3), "{report}");
    let damaged = format!("damaged: {}", name.display());
    assert!(report.contains(&damaged), "{report}");
}

#[test]
fn a_folder_without_a_log_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (code, report) = said(&command(&["inspect", folder.path().to_str().unwrap()]));
    assert_eq!(code, Some(1), "{report}");
    assert!(report.contains("there is no event log in it"), "{report}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
