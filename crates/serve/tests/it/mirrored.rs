//! A log and its mirrors over real sockets, from one server to the next.

use std::net::SocketAddr;
use std::path::Path;

use futures_util::StreamExt;
use jetwash::store::{GapCause, Options, Read, Store};
use jetwash::{
    Cursor, Dictionary, Filter, Jetstream, JetstreamBuilder, RelayOptions, StartFrom, Upstream,
    UpstreamState,
};
use jetwash_serve::{ServeOptions, Server};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::client::Client;
use crate::log::{World, soon};

/// A mirror that serves what it has, until it is stopped.
struct Mirror {
    address: SocketAddr,
    jetstream: Jetstream,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<()>,
    serving: JoinHandle<()>,
}

impl Mirror {
    async fn start(builder: JetstreamBuilder) -> Self {
        let builder = builder.relay_options(RelayOptions::new().no_proxy());
        let (jetstream, ingest) = builder.build().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving =
            Server::new(jetstream.clone(), options()).serve(listener, std::future::pending());
        let (stop, stopped) = oneshot::channel::<()>();
        let run = ingest.run(async { drop(stopped.await) });
        Self {
            address,
            jetstream,
            stop: Some(stop),
            running: tokio::spawn(async { run.await.unwrap() }),
            serving: tokio::spawn(async { serving.await.unwrap() }),
        }
    }

    async fn of(address: SocketAddr) -> Self {
        Self::start(Jetstream::builder().mirror(url(address))).await
    }

    /// Waits until it has everything, and looks whether that is the same.
    async fn equals(&self, origin: &Store) {
        let mut tip = self.jetstream.store().tip();
        let next = origin.bounds().next_seq;
        soon(tip.wait_for(|&has| has >= next)).await.unwrap();
        assert_eq!(entries(self.jetstream.store()), entries(origin));
        assert_eq!(self.jetstream.log_id(), origin.log_id());
    }

    async fn until(&self, is_so: impl Fn(&Upstream) -> bool) -> Upstream {
        soon(async {
            loop {
                let upstream = self.jetstream.upstreams().remove(0);
                if is_so(&upstream) {
                    return upstream;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }

    async fn stalled(&self) -> String {
        let is_stalled =
            |upstream: &Upstream| matches!(upstream.state, UpstreamState::Stalled { .. });
        match self.until(is_stalled).await.state {
            UpstreamState::Stalled { reason } => reason,
            other => panic!("{other:?}"),
        }
    }

    async fn stop(mut self) {
        drop(self.stop.take());
        soon(&mut self.running).await.unwrap();
        self.serving.abort();
        let _ = (&mut self.serving).await;
    }
}

fn url(address: SocketAddr) -> String {
    format!("ws://{address}")
}

fn options() -> ServeOptions {
    ServeOptions::default().serve_mirrors(true)
}

/// The position, the time, the line and the compressed bytes of an event.
type Kept = (u64, u64, Vec<u8>, Option<Vec<u8>>);

/// Position, time, line and compressed bytes of each event.
fn entries(store: &Store) -> Vec<Kept> {
    let mut entries = Vec::new();
    let mut position = store.bounds().oldest_seq;
    loop {
        match store.read(position).unwrap() {
            Read::Events(run) => {
                let block = run.block();
                let (json, packed) = (block.json().unwrap(), block.compressed().unwrap());
                for index in run.indexes() {
                    let meta = block.meta(index).unwrap();
                    let packed = packed.map(|page| page.get(index).unwrap().to_vec());
                    let line = json.get(index).unwrap().to_vec();
                    entries.push((meta.seq.get(), meta.time_us.get(), line, packed));
                }
                position = run.next_seq();
            }
            Read::Gap(gap) if gap.next_seq > position => position = gap.next_seq,
            _ => return entries,
        }
    }
}

async fn dictionary(id: u32) -> Dictionary {
    let world = World::with(300).await;
    let samples = world.log().into_iter().map(|entry| entry.json);
    Dictionary::train(samples, 4096, id).unwrap()
}

#[tokio::test]
async fn a_mirror_of_a_mirror_has_the_log_with_and_without_rotated_dictionaries() {
    for first in [None, Some(dictionary(1).await)] {
        let is_compressed = first.is_some();
        let origin = World::start(options(), first).await;
        origin.push(200).await;
        let near = Mirror::of(origin.address).await;
        let far = Mirror::of(near.address).await;
        for id in 2..5 {
            if is_compressed {
                let next = dictionary(id).await;
                origin.jetstream.rotate_dictionary(next).await.unwrap();
            }
            origin.push(100).await;
        }
        near.equals(origin.jetstream.store()).await;
        far.equals(origin.jetstream.store()).await;
        let in_use = |jetstream: &Jetstream| jetstream.dictionary().map(|it| it.id());
        let newest = is_compressed.then_some(4);
        assert_eq!(in_use(&origin.jetstream), newest);
        assert_eq!(in_use(&far.jetstream), newest);
        far.stop().await;
        near.stop().await;
    }
}

#[tokio::test]
async fn a_client_reads_half_at_the_origin_and_half_at_the_mirror() {
    let first = dictionary(1).await;
    let origin = World::start(options(), Some(first)).await;
    origin.push(200).await;
    let mirror = Mirror::of(origin.address).await;
    mirror.equals(origin.jetstream.store()).await;
    let log = origin.log();
    let half = log.len() / 2;
    for query in ["", "&compress=true&zstdDictionary=1"] {
        let mut messages = Vec::new();
        let mut client = origin.connect(&format!("cursor=1{query}")).await;
        for _ in 0..half {
            messages.push(client.message().await);
        }
        // Inclusive, so the last comes again.
        let cursor = log[half - 1].time_us;
        let query = format!("cursor={cursor}{query}");
        let mut client = Client::connect(mirror.address, &query, &[]).await;
        assert_eq!(Some(&client.message().await), messages.last());
        for _ in half..log.len() {
            messages.push(client.message().await);
        }
        let mut client = origin
            .connect(&query.replace(&cursor.to_string(), "1"))
            .await;
        for message in &messages {
            assert_eq!(client.message().await, *message);
        }
    }
    mirror.stop().await;
}

#[tokio::test]
async fn a_cursor_of_a_consumer_of_the_origin_is_one_of_the_mirror() {
    let origin = World::start(options(), None).await;
    origin.push(200).await;
    let mirror = Mirror::of(origin.address).await;
    mirror.equals(origin.jetstream.store()).await;
    let all = entries(origin.jetstream.store());
    let half = all.len() / 2;
    let log = origin.jetstream.log_id();
    let start = StartFrom::CursorOf {
        log,
        cursor: Cursor::new(all[half - 1].0),
    };
    let events = mirror
        .jetstream
        .subscribe(start, Filter::new())
        .await
        .unwrap();
    let events: Vec<_> = events.take(all.len() - half).collect().await;
    let seqs: Vec<_> = events
        .into_iter()
        .map(|event| event.unwrap().seq().get())
        .collect();
    let expected: Vec<_> = all[half..].iter().map(|entry| entry.0).collect();
    assert_eq!(seqs, expected);
    // And one of another log is not.
    let start = StartFrom::CursorOf {
        log: jetwash::LogId::from_number(1),
        cursor: Cursor::new(all[half].0),
    };
    let mut events = mirror
        .jetstream
        .subscribe(start, Filter::new())
        .await
        .unwrap();
    let event = soon(events.next()).await.unwrap().unwrap();
    assert_eq!(event.seq().get(), all[0].0);
    mirror.stop().await;
}

#[tokio::test]
async fn what_the_origin_has_forgotten_meanwhile_is_a_gap_of_the_mirror() {
    let (folder, small) = (tempfile::tempdir().unwrap(), Options::default());
    let small = small
        .block_events(32)
        .bucket_events(400)
        .bucket_bytes(60_000);
    let builder = Jetstream::builder()
        .store_options(small)
        .retain_bytes(1 << 20);
    let origin = World::start_with(builder, options()).await;
    origin.push(100).await;
    let builder = || {
        Jetstream::builder()
            .mirror(url(origin.address))
            .folder(folder.path())
    };
    let mirror = Mirror::start(builder()).await;
    mirror.equals(origin.jetstream.store()).await;
    let has = mirror.jetstream.bounds();
    mirror.stop().await;
    while origin.jetstream.bounds().oldest_seq <= has.next_seq {
        origin.push(500).await;
    }
    let mirror = Mirror::start(builder()).await;
    let mut tip = mirror.jetstream.store().tip();
    let next = origin.jetstream.bounds().next_seq;
    soon(tip.wait_for(|&seq| seq >= next)).await.unwrap();
    let Read::Gap(gap) = mirror.jetstream.store().read(has.next_seq).unwrap() else {
        panic!("no gap");
    };
    assert_eq!(
        (gap.first_seq, gap.cause),
        (has.next_seq, GapCause::Trimmed)
    );
    assert_eq!(mirror.jetstream.snapshot().gaps["trimmed"], 1);
    // Both sides of the gap are those of the origin.
    let (ours, theirs) = (
        entries(mirror.jetstream.store()),
        entries(origin.jetstream.store()),
    );
    assert_eq!(ours[0].0, 1);
    let behind = ours.iter().position(|entry| entry.0 == gap.next_seq.get());
    let from = theirs
        .iter()
        .position(|entry| entry.0 == gap.next_seq.get());
    assert_eq!(ours[behind.unwrap()..], theirs[from.unwrap()..]);
    mirror.stop().await;
}

#[tokio::test]
async fn a_mirror_of_a_new_mirror_begins_when_that_has_a_log() {
    let origin = World::start(options(), None).await;
    origin.push(50).await;
    // The way to the origin, which is shut at first.
    let way = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = Mirror::of(way.local_addr().unwrap()).await;
    let far = Mirror::of(near.address).await;
    // It is told why it has nothing yet, and is not stuck.
    let has_no_event = |why: &String| why.contains("has no event yet");
    let is_told = |upstream: &Upstream| upstream.last_end.as_ref().is_some_and(has_no_event);
    let upstream = far.until(is_told).await;
    assert_ne!(upstream.state.name(), "stalled");
    let to = origin.address;
    let open = tokio::spawn(async move {
        loop {
            let (mut from, _) = way.accept().await.unwrap();
            let mut to = tokio::net::TcpStream::connect(to).await.unwrap();
            tokio::spawn(async move {
                let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
            });
        }
    });
    near.equals(origin.jetstream.store()).await;
    far.equals(origin.jetstream.store()).await;
    origin.push(50).await;
    far.equals(origin.jetstream.store()).await;
    far.stop().await;
    near.stop().await;
    open.abort();
}

#[tokio::test]
async fn a_host_that_serves_no_mirrors_stalls_the_mirror_with_the_way_out() {
    let origin = World::start(ServeOptions::default(), None).await;
    let mirror = Mirror::of(origin.address).await;
    let reason = mirror.stalled().await;
    assert!(reason.contains("MirroringDisabled"), "{reason}");
    assert_eq!(
        mirror.jetstream.snapshot().reconnects["mirroring_disabled"],
        1
    );
    mirror.stop().await;
}

#[tokio::test]
async fn another_log_is_refused_by_the_host() {
    let (origin, other) = (
        World::start(options(), None).await,
        World::start(options(), None).await,
    );
    origin.push(10).await;
    other.push(20).await;
    let folder = tempfile::tempdir().unwrap();
    let of = |world: &World| {
        Jetstream::builder()
            .mirror(url(world.address))
            .folder(folder.path())
    };
    let mirror = Mirror::start(of(&origin)).await;
    mirror.equals(origin.jetstream.store()).await;
    mirror.stop().await;
    let mirror = Mirror::start(of(&other)).await;
    let reason = mirror.stalled().await;
    assert!(reason.contains("OtherLog"), "{reason}");
    let log = other.jetstream.log_id().to_string();
    assert!(reason.contains(&log), "{reason}");
    let ours = entries(mirror.jetstream.store());
    assert_eq!(ours, entries(origin.jetstream.store()));
    mirror.stop().await;
}

#[tokio::test]
async fn a_log_that_was_put_back_from_a_copy_is_refused_before_and_behind_the_mirror() {
    let (first, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let log = |folder: &Path| Jetstream::builder().folder(folder.join("log"));
    let origin = World::start_with(log(first.path()), options()).await;
    origin.push(50).await;
    origin.end().await;
    copy_folder(&first.path().join("log"), &copy.path().join("log"));
    let of = |world: &World| {
        Jetstream::builder()
            .mirror(url(world.address))
            .folder(folder.path())
    };
    let origin = World::start_with(log(first.path()), options()).await;
    origin.skip(50);
    origin.push(50).await;
    let mirror = Mirror::start(of(&origin)).await;
    mirror.equals(origin.jetstream.store()).await;
    let expected = entries(origin.jetstream.store());
    mirror.stop().await;
    origin.end().await;

    let origin = World::start_with(log(copy.path()), options()).await;
    let mirror = Mirror::start(of(&origin)).await;
    let reason = mirror.stalled().await;
    assert!(reason.contains("PositionAhead"), "{reason}");
    mirror.stop().await;
    // It gives the mirror's positions to events at other times.
    origin.skip(50);
    origin.push(100).await;
    let mirror = Mirror::start(of(&origin)).await;
    let reason = mirror.stalled().await;
    assert!(reason.contains("LogParted"), "{reason}");
    assert_eq!(entries(mirror.jetstream.store()), expected);
    mirror.stop().await;
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_folder(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}
