//! Frames arrive as they came, whatever place a reader starts at.

use jetwash::store::FrameBounds;
use jetwash_firehose::{FirehoseOptions, FrameSource, JetstreamFrames};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::client::Client;
use crate::relay::{Relay, SOURCE, network, seq_of};

#[tokio::test]
async fn kept_and_new_frames_are_sent_byte_for_byte() {
    let relay = Relay::start(1 << 30, FirehoseOptions::default()).await;
    let frames = network(100);
    relay.take_in(&frames[..60]).await;
    let mut all = relay.served.connect("?cursor=0").await;
    let mut some = relay.served.connect("?cursor=1049").await;
    let mut live = relay.served.connect("").await;
    all.expect(&frames[..60]).await;
    some.expect(&frames[49..60]).await;
    relay.take_in(&frames[60..]).await;
    for client in [&mut all, &mut some, &mut live] {
        client.expect(&frames[60..]).await;
    }
    let counts = relay.served.firehose.counts();
    assert_eq!((counts.readers, counts.frames_sent), (3, 60 + 11 + 3 * 40));
    let bytes = |frames: &[Vec<u8>]| frames.iter().map(Vec::len).sum::<usize>();
    let sent = bytes(&frames) + bytes(&frames[49..]) + bytes(&frames[60..]);
    assert_eq!(counts.bytes_sent, sent as u64);
}

#[tokio::test]
async fn real_frames_are_sent_byte_for_byte() {
    let Some(corpus) = jetwash_corpus::corpus("real frames are sent byte for byte") else {
        return;
    };
    let frames = corpus.frames("firehose-2026-07-04/frames.bin.zst");
    let relay = Relay::start(1 << 30, FirehoseOptions::default()).await;
    relay.take_in(&frames).await;
    let mut client = relay.served.connect("?cursor=0").await;
    client.expect(&frames).await;
}

#[tokio::test]
async fn a_cursor_is_good_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    // More than the newest megabyte that is kept in memory, so that the disk is read.
    let frames = network(1000);
    let relay = Relay::start_in(folder.path()).await;
    relay.take_in(&frames).await;
    let mut client = relay.served.connect("?cursor=1099").await;
    client.expect(&frames[99..]).await;
    let ((), (code, _)) = tokio::join!(relay.served.end(), client.close());
    assert_eq!(code, 1001);
    drop(relay.stop);
    relay.running.await.unwrap();
    drop(relay.jetstream);

    let relay = Relay::start_in(folder.path()).await;
    let mut client = relay.served.connect("?cursor=1099").await;
    client.expect(&frames[99..]).await;
    let future = seq_of(&frames[999]) + 1;
    let mut future = relay.served.connect(&format!("?cursor={future}")).await;
    assert_eq!(future.error().await, "FutureCursor");
}

#[tokio::test]
async fn a_log_that_begins_to_keep_frames_knows_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let frames = network(10);
    let build = |keep: Option<u64>| {
        let builder = jetwash::Jetstream::builder().folder(folder.path());
        match keep {
            Some(keep) => builder.keep_frames(keep),
            None => builder,
        }
    };
    let (jetstream, ingest) = build(None).build().unwrap();
    let running = tokio::spawn(ingest.run(std::future::pending()));
    for frame in &frames {
        jetstream.pusher(SOURCE).push(frame.clone()).await.unwrap();
    }
    crate::relay::until(|| jetstream.source_cursor(SOURCE) == Some(1009)).await;
    assert!(JetstreamFrames::new(jetstream.clone(), SOURCE).is_err());
    running.abort();
    drop((running.await, jetstream));

    let (jetstream, _ingest) = build(Some(1 << 20)).build().unwrap();
    let source = JetstreamFrames::new(jetstream, SOURCE).unwrap();
    assert_eq!(source.bounds(), Some(FrameBounds::new(1010, 1010)));
}

#[tokio::test]
async fn the_subprotocol_of_these_frames_is_agreed_to() {
    let relay = Relay::start(1 << 20, FirehoseOptions::default()).await;
    let mut request = relay.served.url("").into_client_request().unwrap();
    let offered = "xrpc.v1.json, xrpc.v0.cbor".parse().unwrap();
    request
        .headers_mut()
        .insert("sec-websocket-protocol", offered);
    let (socket, answer) = tokio_tungstenite::connect_async(request).await.unwrap();
    assert_eq!(answer.headers()["sec-websocket-protocol"], "xrpc.v0.cbor");
    let frames = network(1);
    let mut client = Client(socket);
    relay.take_in(&frames).await;
    client.expect(&frames).await;
}
