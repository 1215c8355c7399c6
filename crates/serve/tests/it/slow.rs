//! A subscriber that stops reading, among others.

use jetwash_serve::ServeOptions;

use crate::client::Raw;
use crate::log::{World, lines};

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
    // Whoever comes last waits for the others.
    for reader in readers.iter_mut().rev() {
        for line in &expected {
            let (first, payload) = reader.frame().await.unwrap();
            assert_eq!((first, &payload[..]), (0x81, line.as_bytes()));
        }
    }
}
