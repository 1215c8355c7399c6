//! The promises of a spool, from the log to the loader.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod crash;
mod files;
mod gaps;
mod power;
mod reader;
mod trouble;

use std::fs;
use std::path::Path;
use std::time::Duration;

use jetwash::store::{self, Appender, EventKind, Location, NewEvent, Options};
use jetwash::{Jetstream, JetstreamBuilder, Micros};
use jetwash_spool::{FileSpool, FileSpoolBuilder, SpoolReader, SpoolStatus};
use tokio::sync::watch;

/// Appends events to the log in a folder: their numbers, with the position and the time in
/// microseconds that are said here.
fn append(folder: &Path, numbers: impl IntoIterator<Item = u64>, now_us: u64) {
    push(&mut open(folder), numbers, now_us);
}

fn open(folder: &Path) -> Appender {
    let location = Location::Disk(folder.to_owned());
    store::open(location, options()).unwrap().0
}

fn push(appender: &mut Appender, numbers: impl IntoIterator<Item = u64>, now_us: u64) {
    for number in numbers {
        let time_us = appender.next_time_us(Micros::new(now_us));
        let (collection, did) = (
            collection(number),
            format!("did:web:a{}.example", number % 7),
        );
        appender
            .push(&NewEvent {
                kind: EventKind::Create,
                did: &did,
                collection,
                commit: store::CommitPart::WHOLE,
                source: "",
                verdict: 0,
                time_us,
                json: line(number).as_bytes(),
                compressed: None,
            })
            .unwrap();
        if number.is_multiple_of(50) {
            appender.commit().unwrap();
        }
    }
    appender.commit().unwrap();
}

/// Two of three events are posts.
fn collection(number: u64) -> &'static str {
    if number.is_multiple_of(3) { LIKE } else { POST }
}

fn line(number: u64) -> String {
    format!(r#"{{"number":{number},"text":"{}"}}"#, "æøå".repeat(30))
}

/// The posts among these numbers.
fn posts(numbers: impl IntoIterator<Item = u64>) -> Vec<u64> {
    let numbers = numbers.into_iter();
    numbers
        .filter(|&number| collection(number) == POST)
        .collect()
}

/// A log that nothing is added to.
fn log(folder: &Path) -> JetstreamBuilder {
    Jetstream::builder()
        .folder(folder)
        .store_options(options())
        .retain_for(Duration::from_secs(1 << 30))
}

/// Writes what there is in a log to the files, to the end.
async fn spool_all(log_folder: &Path, builder: FileSpoolBuilder) -> SpoolStatus {
    let (jetstream, ingest) = log(log_folder).build().unwrap();
    let spool = builder.build().unwrap();
    let status = spool.status();
    // It ends at once, and so does the log for those who read it.
    ingest.run(async {}).await.unwrap();
    spool.run(&jetstream, std::future::pending()).await.unwrap();
    status.borrow().clone()
}

fn builder(folder: &Path) -> FileSpoolBuilder {
    let filter = jetwash::Filter::new().collections([POST]).unwrap();
    FileSpool::builder(folder)
        .filter(filter)
        .roll_after(Duration::from_secs(3600))
        .retry(Duration::from_millis(1), Duration::from_millis(10))
}

/// The numbers of the events in all files, whose lines are checked.
fn lines(folder: &Path) -> Vec<u64> {
    let files = SpoolReader::open(folder).unwrap().files_after(0).unwrap();
    let lines = files.iter().flat_map(|file| file.lines().unwrap());
    lines.map(|text| number_of(&text.unwrap())).collect()
}

fn number_of(text: &str) -> u64 {
    let digits = text.split([':', ',']).nth(1).unwrap();
    let number = digits.parse().unwrap();
    assert_eq!(text, line(number));
    number
}

/// The posts among these numbers, as a file has them.
fn file_of(numbers: impl IntoIterator<Item = u64>) -> String {
    let lines = posts(numbers).into_iter().map(|number| line(number) + "\n");
    lines.collect()
}

/// The names in a folder that end like this, in order.
fn names(folder: &Path, end: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(end)).collect();
    names.sort();
    names
}

async fn until(
    status: &mut watch::Receiver<SpoolStatus>,
    condition: impl FnMut(&SpoolStatus) -> bool,
) -> SpoolStatus {
    let waiting = tokio::time::timeout(Duration::from_secs(60), status.wait_for(condition));
    waiting.await.expect("in time").unwrap().clone()
}

fn options() -> Options {
    Options::default().block_events(50).bucket_events(100)
}

const POST: &str = "app.bsky.feed.post";
const LIKE: &str = "app.bsky.feed.like";
const NOW_US: u64 = 1_783_175_888_000_000;
