//! Documents that outlive the process.

use std::fs;
use std::io;
use std::path::Path;

use jetwash_identity::{DiskCache, FileCache, Identities, IdentityClock, ResolveErrorKind};

use crate::server::{Server, ok};
use crate::{HOUR, TestClock, document_at, key_of, options, plc, reopen, until, until_quiet};

/// A directory whose key changes with each request.
async fn changing() -> Server {
    Server::start(|path, number| {
        let key = "abcdefgh";
        ok(&document_at(path, &key[number..=number]))
    })
    .await
}

fn start(server: &Server, clock: &TestClock, path: &Path) -> Identities {
    let disk = reopen(path, 1 << 20);
    options(server)
        .clock(clock.clone())
        .disk(disk)
        .start()
        .unwrap()
}

/// Ends one run of a program: the file is free for the next.
async fn stop(identities: Identities, path: &Path) {
    until_quiet(&identities).await;
    drop(identities);
    until(|| FileCache::open(path, 1 << 20).is_ok()).await;
}

#[tokio::test]
async fn a_document_survives_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("identities");
    let (server, clock) = (changing().await, TestClock::new());
    let first = start(&server, &clock, &path);
    let document = first.resolve(&plc(1)).await.unwrap();
    stop(first, &path).await;
    let second = start(&server, &clock, &path);
    assert_eq!(second.resolve(&plc(1)).await.unwrap(), document);
    assert_eq!(server.count(), 1);
    assert_eq!(second.snapshot().disk_hits, 1);
}

#[tokio::test]
async fn an_old_document_on_disk_is_served_while_it_is_looked_up_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("identities");
    let (server, clock) = (changing().await, TestClock::new());
    let first = start(&server, &clock, &path);
    first.resolve(&plc(1)).await.unwrap();
    stop(first, &path).await;
    clock.advance(HOUR);
    let second = start(&server, &clock, &path);
    assert_eq!(key_of(&second.resolve(&plc(1)).await.unwrap()), "a");
    until(|| server.count() == 2).await;
    stop(second, &path).await;
    clock.advance(23 * HOUR + HOUR / 2);
    let third = start(&server, &clock, &path);
    assert_eq!(key_of(&third.resolve(&plc(1)).await.unwrap()), "b");
    until(|| server.count() == 3).await;
    stop(third, &path).await;
    clock.advance(24 * HOUR);
    let fourth = start(&server, &clock, &path);
    assert_eq!(key_of(&fourth.resolve(&plc(1)).await.unwrap()), "d");
}

#[tokio::test]
async fn an_invalidated_document_is_gone_from_the_disk_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("identities");
    let (server, clock) = (changing().await, TestClock::new());
    let first = start(&server, &clock, &path);
    first.resolve(&plc(1)).await.unwrap();
    until_written(&first, &path).await;
    first.invalidate(&plc(1));
    assert_eq!(key_of(&first.resolve(&plc(1)).await.unwrap()), "b");
    first.invalidate(&plc(2));
    stop(first, &path).await;
    let second = start(&server, &clock, &path);
    assert_eq!(key_of(&second.resolve(&plc(1)).await.unwrap()), "b");
    assert_eq!(server.count(), 2);
}

/// Until something of a document is in the file.
async fn until_written(_: &Identities, path: &Path) {
    let is_written = || {
        let bytes = fs::read(path).unwrap();
        bytes.windows(8).any(|part| part == b"did:plc:")
    };
    until(is_written).await;
}

#[tokio::test]
async fn a_torn_file_is_a_cache_with_fewer_documents() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("identities");
    let (server, clock) = (
        Server::start(|path, _| ok(&document_at(path, "a"))).await,
        TestClock::new(),
    );
    let first = start(&server, &clock, &path);
    for number in 0..100 {
        first.resolve(&plc(number)).await.unwrap();
    }
    stop(first, &path).await;
    // The second half of the disk reads as something else.
    let mut bytes = fs::read(&path).unwrap();
    let half = bytes.len() / 2;
    for (place, byte) in bytes.iter_mut().enumerate().skip(half) {
        *byte = (place % 251) as u8;
    }
    fs::write(&path, bytes).unwrap();
    let second = start(&server, &clock, &path);
    for number in 0..100 {
        assert_eq!(key_of(&second.resolve(&plc(number)).await.unwrap()), "a");
    }
    let kept = second.snapshot().disk_hits;
    assert!((20..80).contains(&kept), "{kept}");
    assert_eq!(server.count(), 200 - kept as usize);
}

/// A disk that fails, or returns what nobody wrote.
struct Broken(io::Result<Vec<u8>>);

impl Broken {
    fn outcome(&self) -> io::Result<Vec<u8>> {
        match &self.0 {
            Ok(bytes) => Ok(bytes.clone()),
            Err(error) => Err(error.kind().into()),
        }
    }
}

impl DiskCache for Broken {
    fn get(&self, _: &[u8]) -> io::Result<Option<Vec<u8>>> {
        self.outcome().map(Some)
    }
    fn put(&self, _: &[u8], _: &[u8]) -> io::Result<bool> {
        self.outcome().map(|_| false)
    }
    fn remove(&self, _: &[u8]) -> io::Result<()> {
        self.outcome().map(|_| ())
    }
    fn note(&self) -> io::Result<Option<Vec<u8>>> {
        self.get(b"")
    }
    fn set_note(&self, _: &[u8]) -> io::Result<()> {
        self.outcome().map(|_| ())
    }
}

#[tokio::test]
async fn a_disk_that_fails_is_counted_and_does_without() {
    let server = changing().await;
    let disk = Broken(Err(io::ErrorKind::PermissionDenied.into()));
    let identities = options(&server).disk(disk).start().unwrap();
    identities.resolve(&plc(1)).await.unwrap();
    until(|| identities.snapshot().disk_errors == 2).await;
    identities.invalidate(&plc(1));
    until(|| identities.snapshot().disk_errors == 3).await;
    assert_eq!(identities.snapshot().errors(ResolveErrorKind::Document), 0);
}

/// A record of the version, looked up at the time of the test clock.
fn record(version: u8, rest: &[u8]) -> Vec<u8> {
    let now_ms = TestClock::new().now().get() / 1000;
    [&[version][..], &now_ms.to_le_bytes(), rest].concat()
}

#[tokio::test]
async fn bytes_that_are_no_record_are_a_miss() {
    let server = changing().await;
    let damaged = [
        b"".to_vec(),
        vec![1],
        record(1, b"\x01\xff\xff"),
        // Of another version.
        record(2, b"\0\0\0\0\0\0\0"),
        // A type of key that there is not, and an address that is not one.
        record(1, b"\x09\x02\0za\0\0\0\0"),
        record(1, b"\0\0\0\x01\0x\0\0"),
        // One byte too few, and one too many.
        record(1, b"\0\0\0\0\0\0"),
        record(1, b"\0\0\0\0\0\0\0\0"),
    ];
    for (count, bytes) in damaged.into_iter().enumerate() {
        let identities = options(&server).disk(Broken(Ok(bytes))).start().unwrap();
        identities.resolve(&plc(1)).await.unwrap();
        assert_eq!(server.count(), count + 1);
        until(|| identities.snapshot().not_kept == 1).await;
    }
    // The same bytes are one where nothing is wrong with them.
    for rest in [&b"\0\0\0\0\0\0\0"[..], b"\x01\x02\0za\0\0\0\0"] {
        let disk = Broken(Ok(record(1, rest)));
        let identities = options(&server).disk(disk).start().unwrap();
        identities.resolve(&plc(1)).await.unwrap();
        assert_eq!((server.count(), identities.snapshot().disk_hits), (8, 1));
    }
}
