//! Every rule for cursors.

use jetwash_firehose::FirehoseOptions;

use crate::client::{ask, refused};
use crate::relay::{Relay, network, seq_of};

#[tokio::test]
async fn a_cursor_older_than_what_is_kept_gets_an_info_and_then_all_that_is() {
    let relay = Relay::start(1 << 20, FirehoseOptions::default()).await;
    // Some three megabytes, of which one is kept.
    let frames = network(1500);
    relay.take_in(&frames).await;
    let mut outdated = relay.served.connect("?cursor=1").await;
    assert_eq!(outdated.info().await, "OutdatedCursor");
    let oldest = seq_of(&outdated.next().await);
    assert!((1001..2500).contains(&oldest));
    let from = (oldest - 1000) as usize;
    outdated.expect(&frames[from + 1..]).await;
    assert_eq!(relay.served.firehose.counts().outdated_cursors, 1);

    // One that has all but the oldest misses nothing, nor does one that wants all there is.
    for cursor in [oldest - 1, 0, oldest] {
        let mut client = relay.served.connect(&format!("?cursor={cursor}")).await;
        client.expect(&frames[from..]).await;
    }
    let mut client = relay
        .served
        .connect(&format!("?cursor={}", oldest - 2))
        .await;
    assert_eq!(client.info().await, "OutdatedCursor");
    client.expect(&frames[from..]).await;
}

#[tokio::test]
async fn a_cursor_of_the_future_is_an_error_and_the_newest_is_not() {
    let relay = Relay::start(1 << 20, FirehoseOptions::default()).await;
    let frames = network(20);
    relay.take_in(&frames[..10]).await;
    for cursor in ["1010", "9007199254740993", "18446744073709551615"] {
        let mut future = relay.served.connect(&format!("?cursor={cursor}")).await;
        assert_eq!(future.error().await, "FutureCursor");
        assert_eq!(future.close().await, (1008, "FutureCursor".to_owned()));
    }
    assert_eq!(relay.served.firehose.counts().future_cursors, 3);
    let mut newest = relay.served.connect("?cursor=1009").await;
    newest.expect(&frames[9..10]).await;
    relay.take_in(&frames[10..]).await;
    newest.expect(&frames[10..]).await;
}

#[tokio::test]
async fn before_the_first_frame_a_cursor_is_to_be_asked_again_later() {
    let relay = Relay::start(1 << 20, FirehoseOptions::default()).await;
    let (status, answer) = refused(&relay.served, "?cursor=1000").await;
    assert_eq!(status, 503);
    assert!(answer.to_lowercase().contains("retry-after: "), "{answer}");
    let mut all = relay.served.connect("?cursor=0").await;
    let mut live = relay.served.connect("").await;
    let frames = network(10);
    relay.take_in(&frames).await;
    all.expect(&frames).await;
    live.expect(&frames).await;
    let mut from = relay.served.connect("?cursor=1000").await;
    from.expect(&frames).await;
}

#[tokio::test]
async fn what_is_no_cursor_is_refused_before_the_upgrade() {
    let relay = Relay::start(1 << 20, FirehoseOptions::default()).await;
    relay.take_in(&network(10)).await;
    for cursor in [
        "-1",
        "",
        "1.0",
        "x",
        "1e3",
        "18446744073709551616",
        "1&cursor=2",
    ] {
        let (status, answer) = refused(&relay.served, &format!("?cursor={cursor}")).await;
        assert_eq!(status, 400, "{cursor}");
        assert!(
            answer.contains(r#"{"error":"InvalidRequest","message":"cursor "#),
            "{answer}"
        );
    }
    let counts = relay.served.firehose.counts();
    assert_eq!((counts.refused, counts.readers), (7, 0));
}

#[tokio::test]
async fn requests_that_are_no_handshake_are_refused() {
    let relay = Relay::start(1 << 20, FirehoseOptions::default()).await;
    let (status, answer) = ask(&relay.served, "POST", "", "").await;
    assert_eq!(status, 405, "{answer}");
    let (status, answer) = ask(&relay.served, "GET", "?cursor=0", "").await;
    assert_eq!(status, 426);
    assert!(
        answer.to_lowercase().contains("upgrade: websocket"),
        "{answer}"
    );
    assert_eq!(relay.served.firehose.counts().refused, 2);
}
