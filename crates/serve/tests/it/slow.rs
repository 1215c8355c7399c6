//! A subscriber that stops reading, among others.

use std::io::{ErrorKind, Read};

use jetwash_serve::ServeOptions;
use tokio::net::TcpSocket;
use tokio::task::yield_now;

use crate::client::Raw;
use crate::log::{World, lines, soon};

#[tokio::test]
async fn a_subscriber_that_stops_reading_disturbs_nobody_and_loses_nothing() {
    let world = World::start_narrow(ServeOptions::default()).await;
    let mut others = [
        world.subscribe("").await,
        world.subscribe("compress=true").await,
        world
            .subscribe("wantedCollections=app.bsky.feed.like")
            .await,
    ];
    let mut slow = Raw::subscribe(world.address, "").await;
    slow.send(0x89, b"there").await;
    assert_eq!(slow.frame().await, Some((0x8a, b"there".to_vec())));
    // From here on it reads nothing. The sockets hold some 20 kB, and this is near a megabyte.
    for _ in 0..20 {
        world.push(100).await;
    }
    let log = world.log();
    assert!(lines(&log).concat().len() > 500_000);
    let [plain, compressed, likes] = &mut others;
    assert_eq!(plain.texts(log.len()).await, lines(&log));
    for entry in &log {
        let frame = compressed.binary().await;
        assert_eq!(zstd::decode_all(&frame[..]).unwrap(), entry.json.as_bytes());
    }
    let wanted = log
        .iter()
        .filter(|entry| !entry.is_commit() || entry.collection == "app.bsky.feed.like");
    let wanted = lines(wanted);
    assert_eq!(likes.texts(wanted.len()).await, wanted);
    assert_eq!(world.server.subscribers(), 4);
    // It reads on, and everything is there.
    for entry in &log {
        assert_eq!(
            slow.frame().await,
            Some((0x81, entry.json.clone().into_bytes()))
        );
    }
}

/// Their sockets take nothing, so what was read for them is let go, and has to be read again.
#[tokio::test]
async fn many_readers_that_take_nothing_for_a_while_then_get_all_of_it() {
    let world = World::start_narrow(ServeOptions::default()).await;
    world.push(600).await;
    let expected = lines(&world.log());
    let mut readers = Vec::new();
    for _ in 0..80 {
        readers.push(Raw::subscribe(world.address, "cursor=0").await);
    }
    // The last waits for the others.
    for reader in readers.iter_mut().rev() {
        for line in &expected {
            let (first, payload) = reader.frame().await.unwrap();
            assert_eq!((first, &payload[..]), (0x81, line.as_bytes()));
        }
    }
}

/// Thousands may read old events at once, and those at the end of the log come after each of them.
#[tokio::test]
async fn a_reader_of_old_events_lets_others_have_their_turn_after_each_write() {
    let world = World::with(2000).await;
    let total = lines(&world.log()).concat().len();
    assert!(total > 500_000);
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 << 20).unwrap();
    let reader = Raw::subscribe_on(socket, world.address, "cursor=0").await;
    let mut reader = reader.stream.into_std().unwrap();
    let (mut buffer, mut read, mut most) = (vec![0; 8 << 20], 0, 0);
    let all = async {
        while read < total {
            // All other tasks have had their turn once.
            yield_now().await;
            // Not through the runtime, which may not have looked at its sockets.
            match reader.read(&mut buffer) {
                Ok(count) => {
                    assert!(count > 0, "closed after {read} of {total} bytes");
                    (read, most) = (read + count, most.max(count));
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
    };
    soon(all).await;
    assert!(most < 100_000, "{most} bytes of {total} at once");
}
