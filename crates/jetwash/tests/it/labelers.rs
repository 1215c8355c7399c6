//! Labelers over real sockets: what they say, where they are asked to continue, and what they get
//! wrong.

use futures_util::StreamExt;
use jetwash::testing::{SimChange, frames_from};
use jetwash::{
    Filter, Jetstream, JetstreamBuilder, Labels, Mistake, NotReady, RelayOptions, StartFrom,
    UpstreamState,
};
use jetwash_sim::{ScriptedRelay, SimLabel, SimLabeler};

use crate::upstream::until;

const LABELER: &str = "did:web:labeler.example";
const A: &str = "did:web:a.example";
const B: &str = "did:web:b.example";

/// A Jetstream that runs, without a proxy.
fn run(builder: JetstreamBuilder) -> Jetstream {
    let builder = builder.labeler_options(RelayOptions::new().no_proxy());
    let (jetstream, ingest) = builder.build().unwrap();
    tokio::spawn(ingest.run(std::future::pending()));
    jetstream
}

fn following(url: impl Into<String>) -> Jetstream {
    run(Jetstream::builder().labels_from(url, LABELER))
}

fn label(uri: &str, val: &str) -> SimLabel {
    SimLabel::new(LABELER, uri, val)
}

fn dropped(jetstream: &Jetstream, reason: &str) -> u64 {
    jetstream
        .snapshot()
        .dropped
        .get(reason)
        .copied()
        .unwrap_or_default()
}

#[tokio::test]
async fn labels_from_before_and_from_now_are_in_the_index() {
    let mut labeler = SimLabeler::start(LABELER).await.unwrap();
    labeler.label(A, "spam");
    labeler.label(B, "rude");
    let jetstream = following(labeler.url());
    let labels = jetstream.labels().clone();
    until("the labels from before", || labels.len() == 2).await;
    assert!(labels.has_from(LABELER, A, "spam") && labels.has(B, "rude"));
    labeler.negate(A, "spam");
    labeler.label(A, "bot");
    until("the labels from now", || labels.has(A, "bot")).await;
    assert!(!labels.has(A, "spam"));
    let [view] = &jetstream.labelers()[..] else {
        panic!()
    };
    assert_eq!(
        (&*view.name, &view.state),
        (&*labeler.url(), &UpstreamState::Connected)
    );
    // Nothing of it is in the log, and it is no source of events.
    assert_eq!(jetstream.snapshot().events, 0);
    assert!(jetstream.upstreams().is_empty());
}

/// Both of two filters are asked: which events enter the log, and which a reader gets.
#[tokio::test]
async fn filters_ask_the_index_when_an_event_comes() {
    let mut labeler = SimLabeler::start(LABELER).await.unwrap();
    labeler.label(A, "spam");
    labeler.label(B, "bot");
    let labels = Labels::new(100);
    let builder = Jetstream::builder()
        .labels_from(labeler.url(), LABELER)
        .labels(labels.clone())
        .ingest_filter(Filter::new().not_labelled(labels.clone(), ["spam"]));
    let jetstream = run(builder);
    until("both labels", || labels.len() == 2).await;
    let accounts = [A, B, "did:web:c.example"];
    let changes = accounts.map(|did| SimChange::account(did, true, None));
    let pusher = jetstream.pusher("test");
    for frame in frames_from(changes).unwrap() {
        pusher.push(frame).await.unwrap();
    }
    let subscribe = |filter| jetstream.subscribe(StartFrom::Oldest, filter);
    let mut all = subscribe(Filter::new()).await.unwrap();
    for did in &accounts[1..] {
        assert_eq!(all.next().await.unwrap().unwrap().did(), *did);
    }
    let bots = Filter::new().labelled(labels.clone(), ["bot"]);
    let mut bots = subscribe(bots).await.unwrap();
    assert_eq!(bots.next().await.unwrap().unwrap().did(), B);
    let others = Filter::new().not_labelled(labels, ["bot"]);
    let mut others = subscribe(others).await.unwrap();
    assert_eq!(others.next().await.unwrap().unwrap().did(), accounts[2]);
}

#[tokio::test]
async fn a_connection_is_made_again_where_the_last_one_was() {
    let mut relay = ScriptedRelay::start().await.unwrap();
    let jetstream = following(relay.url());
    let labels = jetstream.labels().clone();
    let mut connection = relay.accept_at(Some(0)).await.unwrap();
    connection
        .send([SimLabel::frame(7, &[label(A, "spam")])])
        .await
        .unwrap();
    connection.disconnect();
    // A number that goes back is believed to be a repeat, and its labels count.
    let mut connection = relay.accept_at(Some(7)).await.unwrap();
    connection
        .send([SimLabel::frame(3, &[label(B, "spam")])])
        .await
        .unwrap();
    until("the label", || labels.has(B, "spam")).await;
    connection.disconnect();
    // One that is behind its own number counts anew, and is read from its beginning.
    let mut connection = relay.accept_at(Some(7)).await.unwrap();
    connection.fail("FutureCursor", "no").await.unwrap();
    drop(connection);
    let mut connection = relay.accept_at(Some(0)).await.unwrap();
    let again = label(A, "spam").negated().at("2026-01-02T00:00:00Z");
    connection
        .send([SimLabel::frame(1, &[again])])
        .await
        .unwrap();
    until("the negation", || !labels.has(A, "spam")).await;
    assert!(labels.has(B, "spam"));
    assert_eq!(jetstream.snapshot().reconnects["future_cursor"], 1);
}

#[tokio::test]
async fn what_is_wrong_costs_only_itself_and_is_counted_by_its_reason() {
    let mut relay = ScriptedRelay::start().await.unwrap();
    let jetstream = following(relay.url());
    let labels = jetstream.labels().clone();
    let mut connection = relay.accept().await.unwrap();
    let mut future = SimLabel::frame(9, &[label(B, "later")]);
    // The last byte is the version of the label.
    *future.last_mut().unwrap() = 2;
    let mixed = [
        label(A, "first"),
        SimLabel::new("did:web:other.example", A, "stolen"),
        label(A, "undated").at("today"),
        label(&"x".repeat(2_000), "long"),
        label(A, "last"),
    ];
    let too_long = label(A, &"x".repeat(129));
    connection.send([SimLabel::frame(1, &mixed)]).await.unwrap();
    connection
        .send([SimLabel::frame(2, &[too_long])])
        .await
        .unwrap();
    connection
        .send([b"\xa0".to_vec(), b"\xff".to_vec(), future])
        .await
        .unwrap();
    connection.send_text("hello").await.unwrap();
    connection
        .send([b"\xa2\x61t\x66#later\x62op\x01\xa0".to_vec()])
        .await
        .unwrap();
    connection
        .send([
            SimLabel::frame(1 << 53, &[label(B, "beyond")]),
            SimLabel::frame(3, &[label(B, "end")]),
        ])
        .await
        .unwrap();
    until("the last label", || labels.has(B, "end")).await;
    let values: Vec<_> = labels
        .of(A)
        .iter()
        .map(|label| label.val.to_string())
        .collect();
    assert_eq!(values, ["first", "last"]);
    assert!(labels.has(B, "beyond") && labels.len() == 4);
    for (reason, count) in [
        ("label_of_another", 1),
        ("label_malformed", 1),
        ("label_too_long", 1),
        ("label_version", 1),
        ("frame_over_limit", 1),
        ("frame_field_missing", 1),
        ("frame_malformed", 1),
        ("message_is_text", 1),
        ("seq_invalid", 1),
    ] {
        assert_eq!(dropped(&jetstream, reason), count, "{reason}");
    }
    assert_eq!(jetstream.snapshot().ignored, 1);
    assert!(jetstream.snapshot().reconnects.is_empty());
    // A number that no labeler may give is not asked for.
    connection.disconnect();
    relay.accept_at(Some(9)).await.unwrap();
}

/// A labeler that sends nothing but pings is left, and asked again where it was.
#[tokio::test]
async fn a_flood_of_pings_ends_the_connection() {
    let mut relay = ScriptedRelay::start().await.unwrap();
    let jetstream = following(relay.url());
    let mut connection = relay.accept().await.unwrap();
    let frame = SimLabel::frame(5, &[label(A, "spam")]);
    connection.send([frame]).await.unwrap();
    let pings = b"\x89\x00".repeat(1_000);
    while jetstream.snapshot().reconnects.is_empty() {
        // It fails once the connection has ended.
        if connection.send_raw(&pings).await.is_err() {
            break;
        }
    }
    relay.accept_at(Some(5)).await.unwrap();
    assert_eq!(jetstream.snapshot().reconnects["websocket"], 1);
}

#[tokio::test]
async fn a_label_whose_end_has_come_is_not_in_force() {
    let mut labeler = SimLabeler::start(LABELER).await.unwrap();
    labeler.publish([
        label(A, "over").until("2026-01-02T00:00:00Z"),
        label(A, "lasting").until("2999-01-01T00:00:00Z"),
    ]);
    let jetstream = following(labeler.url());
    let labels = jetstream.labels().clone();
    until("what lasts alone", || {
        labels.has(A, "lasting") && !labels.has(A, "over")
    })
    .await;
}

/// A labeler that cannot be reached is no reason to take a feed out of service.
#[tokio::test]
async fn a_labeler_does_not_count_for_readiness() {
    let mut relay = ScriptedRelay::start().await.unwrap();
    let jetstream = following(relay.url());
    relay.refuse().await.unwrap();
    until("the end of an attempt", || {
        jetstream.labelers()[0].last_end.is_some()
    })
    .await;
    assert_eq!(jetstream.readiness(), Ok(()));
    let labeler = SimLabeler::start(LABELER).await.unwrap();
    let options = RelayOptions::new().no_proxy();
    let builder = Jetstream::builder()
        .relay("ws://127.0.0.1:1")
        .relay_options(options);
    let jetstream = run(builder.labels_from(labeler.url(), LABELER));
    until("the connection", || {
        jetstream.labelers()[0].connected_for.is_some()
    })
    .await;
    assert!(matches!(
        jetstream.readiness(),
        Err(NotReady::NoUpstream(_))
    ));
}

#[test]
fn mistakes_in_labelers_are_told_together() {
    let error = Jetstream::builder()
        .labels_from("ftp://a.example", LABELER)
        .labels_from("b.example", "labeler")
        .labels_from("c.example", LABELER)
        .labels_from("wss://c.example/", "did:web:c.example")
        .labels_from("d.example/x?cursor=7", LABELER)
        .build()
        .unwrap_err();
    let told: Vec<String> = error.mistakes().iter().map(Mistake::to_string).collect();
    assert_eq!(
        told,
        [
            "labeler \"ftp://a.example\": the scheme must be ws, wss, http or https",
            "labeler \"b.example\": its DID \"labeler\" is not a DID: does not start with `did:`",
            "the source wss://c.example/ is given twice",
            "labeler \"d.example/x?cursor=7\": the cursor is jetwash's own business: leave `cursor` out",
        ]
    );
}
