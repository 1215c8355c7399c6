//! SIGHUP.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::{Program, SERVER, tail};

#[test]
fn a_hangup_ends_nothing() {
    let mut program = Program::start(&[]);
    let _ = program.url();
    program.signal("HUP");
    program.line("SIGHUP: the settings are read again");
    let (ended, lines) = program.stop();
    assert!(ended, "{lines:#?}");
    let waiting = |line: &String| line.contains("hold from the next start");
    assert!(!lines.iter().any(waiting), "{lines:#?}");
}

#[test]
fn events_are_of_the_accounts_in_the_file_and_of_others_after_a_hangup() {
    let dids = accounts();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("accounts.txt");
    fs::write(&file, format!("# one\n{}\n", dids[0])).unwrap();
    let mut program = Program::start(&[&format!("--accounts={}", file.display())]);
    program.line("events of 1 accounts are taken in");
    let url = program.url();
    assert_eq!(live(&url), BTreeSet::from([dids[0].clone()]));

    fs::write(&file, format!("{}\n{}\n", dids[1], dids[2])).unwrap();
    program.signal("HUP");
    program.line("accounts are taken in from here on accounts=2");
    let both = BTreeSet::from([dids[1].clone(), dids[2].clone()]);
    assert!(live(&url).is_subset(&both));

    // A file with a mistake changes nothing.
    fs::write(&file, "nobody\n").unwrap();
    program.signal("HUP");
    let line = program.line("the accounts stay as they were: ");
    assert!(
        line.contains("accounts.txt:1: `nobody` is not a DID"),
        "{line}"
    );
    assert!(live(&url).is_subset(&both));
    assert!(program.stop().0);
}

#[test]
fn a_subscriber_gets_the_collections_of_the_file_and_others_after_a_hangup() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("jetwash.toml");
    fs::write(&config, "collections = \"app.bsky.feed.like\"\n").unwrap();
    let mut program = Program::start(&[&format!("--config={}", config.display())]);
    program.line("events of these collections are taken in: app.bsky.feed.like");
    let mut tail = Command::new(SERVER);
    let tail = tail.args(["tail", &program.url()]).stdout(Stdio::piped());
    let mut tail = tail.spawn().unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    // The collection of the next event that has one.
    let mut collection = || loop {
        let line: serde_json::Value =
            serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        if let Some(collection) = line["commit"]["collection"].as_str() {
            return collection.to_owned();
        }
    };
    for _ in 0..20 {
        assert_eq!(collection(), "app.bsky.feed.like");
    }

    fs::write(
        &config,
        "collections = [\"app.bsky.feed.post\", \"app.bsky.graph.*\"]\n",
    )
    .unwrap();
    program.signal("HUP");
    program
        .line("other collections are taken in from here on collections=\"app.bsky.feed.post, app");
    let first = std::iter::repeat_with(&mut collection).find(|it| it != "app.bsky.feed.like");
    let after: BTreeSet<_> = first
        .into_iter()
        .chain((0..200).map(|_| collection()))
        .collect();
    let is_wanted = |it: &String| it == "app.bsky.feed.post" || it.starts_with("app.bsky.graph.");
    assert!(after.len() > 1 && after.iter().all(is_wanted), "{after:?}");

    // A file with a mistake changes nothing, and one without collections is for all of them.
    fs::write(&config, "collections = \"post\"\n").unwrap();
    program.signal("HUP");
    let line = program.line("all settings stay as they were: ");
    assert!(
        line.contains("jetwash.toml:1: collections = \"post\""),
        "{line}"
    );
    fs::write(&config, "").unwrap();
    program.signal("HUP");
    program.line("from here on collections=\"all\"");
    while collection() != "app.bsky.feed.like" {}
    tail.kill().unwrap();
    tail.wait().unwrap();
    let (ended, lines) = program.stop();
    assert!(ended, "{lines:#?}");
    let waiting = |line: &String| line.contains("hold from the next start");
    assert!(!lines.iter().any(waiting), "{lines:#?}");
}

#[test]
fn what_holds_from_the_next_start_is_named_and_a_file_that_is_wrong_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("jetwash.toml");
    fs::write(&config, "event-ttl = \"5h\"\nmax-dids = 7\n").unwrap();
    let mut program = Program::start(&[&format!("--config={}", config.display())]);
    let _ = program.url();
    fs::write(
        &config,
        "event-ttl = \"6h\"\nmax-bytes = \"7MB\"\nmax-streams = 7\n",
    )
    .unwrap();
    program.signal("HUP");
    program.line("the log keeps events for 6h and at most 7 MB");
    let line = program.line("hold from the next start: ");
    let (_, names) = line.split_once("hold from the next start: ").unwrap();
    let names: BTreeSet<_> = names.split(", ").collect();
    assert_eq!(names, BTreeSet::from(["max-dids", "max-streams"]));
    fs::write(&config, "event_ttl = \"6h\"\n").unwrap();
    program.signal("HUP");
    let line = program.line("all settings stay as they were: ");
    assert!(
        line.contains("jetwash.toml:1: there is no option `event_ttl`"),
        "{line}"
    );
    assert!(program.stop().0);
}

/// Accounts of the network that servers are started with, each with many events.
fn accounts() -> Vec<String> {
    let mut program = Program::start(&[]);
    let dids = dids_of(&[&program.url(), "--cursor=0", "--count=500"]);
    dids.into_iter().collect()
}

fn live(url: &str) -> BTreeSet<String> {
    dids_of(&[url, "--count=50"])
}

fn dids_of(arguments: &[&str]) -> BTreeSet<String> {
    let output = tail(arguments);
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let did = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["did"].as_str().unwrap().to_owned()
    };
    lines.lines().map(did).collect()
}
