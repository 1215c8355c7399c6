//! A log of labels, over real sockets and on real disks.

use std::path::Path;
use std::time::Duration;

use jetwash::testing::{SimChange, frames_from};
use jetwash::{Filter, Jetstream, JetstreamBuilder, Kind, Mistake, RelayOptions, StartFrom};
use jetwash_sim::{ScriptedConnection, ScriptedRelay, SimLabel, SimLabeler};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::upstream::until;
use crate::{lines, take, without_time};

const LABELER: &str = "did:web:labeler.example";
const A: &str = "did:web:a.example";
const B: &str = "did:web:b.example";

/// A Jetstream that runs until it is stopped.
struct Running {
    jetstream: Jetstream,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

impl Running {
    fn start(builder: JetstreamBuilder) -> Self {
        let options = RelayOptions::new().no_proxy();
        let options = options.silent_after(Duration::from_secs(2));
        let (jetstream, ingest) = builder.labeler_options(options).build().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let ended = tokio::spawn(async move {
            ingest.run(async { drop(stopped.await) }).await.unwrap();
        });
        Self {
            jetstream,
            stop,
            ended,
        }
    }

    /// Follows a labeler into a log in memory.
    fn of(url: impl Into<String>) -> Self {
        Self::start(Jetstream::builder().labeler(url, LABELER))
    }

    /// Follows a labeler into a log on disk.
    fn in_folder(folder: &Path, url: impl Into<String>) -> Self {
        Self::start(Jetstream::builder().folder(folder).labeler(url, LABELER))
    }

    /// The values of the labels in the log, with a `-` before those that are taken back.
    fn values(&self) -> Vec<String> {
        let value = |line: &String| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let sign = if line["label"]["neg"] == true {
                "-"
            } else {
                ""
            };
            format!("{sign}{}", line["label"]["val"].as_str().unwrap())
        };
        lines(self.jetstream.store()).iter().map(value).collect()
    }

    async fn until_values(&self, expected: &[&str]) {
        until("all events", || self.values().len() >= expected.len()).await;
        assert_eq!(self.values(), expected);
    }

    async fn until_cursor(&self, url: &str, cursor: u64) {
        until(&format!("the cursor {cursor}"), || {
            self.jetstream.source_cursor(url) == Some(cursor)
        })
        .await;
    }

    /// The causes of its gaps, and how many there are of each.
    fn gaps(&self) -> Vec<(String, u64)> {
        let gaps = self.jetstream.snapshot().gaps.into_iter();
        gaps.map(|(cause, count)| (cause.to_string(), count))
            .collect()
    }

    fn dropped(&self, reason: &str) -> u64 {
        let dropped = self.jetstream.snapshot().dropped;
        dropped.get(reason).copied().unwrap_or_default()
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.ended.await.unwrap();
    }
}

fn label(uri: &str, val: &str) -> SimLabel {
    SimLabel::new(LABELER, uri, val)
}

async fn send<const N: usize>(connection: &mut ScriptedConnection, frames: [(u64, &str); N]) {
    let frames = frames.map(|(seq, val)| SimLabel::frame(seq, &[label(A, val)]));
    connection.send(frames).await.unwrap();
}

#[tokio::test]
async fn a_label_is_an_event_of_its_labeler() {
    let mut labeler = SimLabeler::start(LABELER).await.unwrap();
    labeler.publish([
        label(A, "spam"),
        label("at://did:web:a.example/a.b.c/1", "rude \"<&>\"")
            .on_version("bafy")
            .at("2026-01-01T00:00:01Z")
            .until("2999-01-01T00:00:00Z"),
        label(A, "spam").negated().at("2026-01-02T00:00:00Z"),
    ]);
    let running = Running::of(labeler.url());
    let events = take(&running.jetstream, StartFrom::Oldest, Filter::new(), 3).await;
    let expected = [
        r#""uri":"did:web:a.example","val":"spam","cts":"2026-01-01T00:00:00.000Z""#,
        concat!(
            r#""uri":"at://did:web:a.example/a.b.c/1","cid":"bafy","#,
            r#""val":"rude \"\u003c\u0026\u003e\"","cts":"2026-01-01T00:00:01Z","#,
            r#""exp":"2999-01-01T00:00:00Z""#
        ),
        r#""uri":"did:web:a.example","val":"spam","neg":true,"cts":"2026-01-02T00:00:00Z""#,
    ];
    let mut last = 0;
    for (event, expected) in events.iter().zip(expected) {
        let (line, time) = without_time(event.json());
        let head =
            r#"{"did":"did:web:labeler.example","time_us":,"kind":"label","label":{"ver":1,"#;
        assert_eq!(line, format!("{head}\"src\":\"{LABELER}\",{expected}}}}}"));
        assert!(time > last && time == event.time_us().get());
        last = time;
        assert_eq!((event.kind(), event.did()), (Kind::Label, LABELER));
        assert_eq!(
            (event.source(), event.collection()),
            (&*labeler.url(), None)
        );
        assert!(event.change().is_err() && event.operation().is_none());
    }
    let parsed = events[1].label().unwrap().unwrap();
    assert_eq!(
        (parsed.src.as_str(), &*parsed.val),
        (LABELER, "rude \"<&>\"")
    );
    let labels = running.jetstream.labels();
    assert!(labels.has(&parsed.uri, &parsed.val) && !labels.has(A, "spam"));
    assert_eq!(running.jetstream.upstreams().len(), 1);
    assert_eq!(running.jetstream.readiness(), Ok(()));
}

#[tokio::test]
async fn readers_choose_labelers_and_continue_behind_a_cursor() {
    let other = "did:web:other.example";
    let mut one = SimLabeler::start(LABELER).await.unwrap();
    let mut two = SimLabeler::start(other).await.unwrap();
    let builder = Jetstream::builder().labeler(one.url(), LABELER);
    let running = Running::start(builder.labeler(two.url(), other));
    for number in 0..20 {
        one.label(A, format!("one-{number}"));
        two.label(A, format!("two-{number}"));
    }
    let filter = || Filter::new().dids([other]).unwrap();
    let events = take(&running.jetstream, StartFrom::Oldest, filter(), 20).await;
    let value = |event: &jetwash::Event| event.label().unwrap().unwrap().val.to_string();
    let expected: Vec<_> = (0..20).map(|number| format!("two-{number}")).collect();
    assert_eq!(events.iter().map(value).collect::<Vec<_>>(), expected);
    let start = StartFrom::Cursor(events[4].cursor());
    let rest = take(&running.jetstream, start, filter(), 15).await;
    assert_eq!(rest.iter().map(value).collect::<Vec<_>>(), expected[5..]);
}

/// Stopped and started at any time, with labels that come meanwhile, before and after.
#[tokio::test]
async fn restarts_neither_repeat_nor_lose_a_label() {
    let folder = tempfile::tempdir().unwrap();
    let mut labeler = SimLabeler::start(LABELER).await.unwrap();
    let (mut given, mut seen) = (0, 0);
    for run in 0..8 {
        let running = Running::in_folder(folder.path(), labeler.url());
        let mut give = |count| {
            for _ in 0..count {
                labeler.label(A, format!("v{given}"));
                given += 1;
            }
            given
        };
        let before = give(3 + run);
        // The end comes somewhere amid these.
        until("some of them", || running.values().len() > seen).await;
        give(run % 3);
        let labels = running.jetstream.labels().clone();
        until("the index of all that the log has", || {
            labels.len() >= running.values().len().min(before)
        })
        .await;
        seen = running.values().len();
        running.stop().await;
        give(run % 2);
    }
    let running = Running::in_folder(folder.path(), labeler.url());
    let expected: Vec<_> = (0..given).map(|number| format!("v{number}")).collect();
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    running.until_values(&expected).await;
    until("the index", || running.jetstream.labels().len() == given).await;
    assert_eq!(running.gaps(), []);
    assert!(running.jetstream.snapshot().dropped.is_empty());
}

#[tokio::test]
async fn the_index_is_read_from_the_beginning_and_the_events_from_the_cursor() {
    let folder = tempfile::tempdir().unwrap();
    let mut relay = ScriptedRelay::start().await.unwrap();
    let running = Running::in_folder(folder.path(), relay.url());
    let mut connection = relay.accept_at(Some(0)).await.unwrap();
    send(&mut connection, [(4, "a"), (5_000_000, "b")]).await;
    running.until_cursor(&relay.url(), 5_000_000).await;
    running.stop().await;
    drop(connection);

    let running = Running::in_folder(folder.path(), relay.url());
    let mut history = relay.accept_at(Some(0)).await.unwrap();
    send(&mut history, [(4, "a")]).await;
    history.disconnect();
    let mut history = relay.accept_at(Some(4)).await.unwrap();
    send(&mut history, [(5_000_000, "b"), (5_000_001, "c")]).await;
    let mut connection = relay.accept_at(Some(5_000_000)).await.unwrap();
    send(&mut connection, [(5_000_001, "c")]).await;
    running.until_values(&["a", "b", "c"]).await;
    let labels = running.jetstream.labels();
    assert!(["a", "b", "c"].iter().all(|val| labels.has(A, val)));
    assert_eq!(running.gaps(), []);
}

#[tokio::test]
async fn without_an_index_the_past_is_not_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut relay = ScriptedRelay::start().await.unwrap();
    let start = |url: String| {
        let builder = Jetstream::builder().folder(folder.path()).no_label_index();
        Running::start(builder.labeler(url, LABELER))
    };
    let running = start(relay.url());
    let mut connection = relay.accept_at(Some(0)).await.unwrap();
    send(&mut connection, [(7, "a")]).await;
    running.until_cursor(&relay.url(), 7).await;
    assert!(running.jetstream.labels().is_empty());
    running.stop().await;
    let running = start(relay.url());
    let mut connection = relay.accept_at(Some(7)).await.unwrap();
    send(&mut connection, [(8, "b")]).await;
    running.until_values(&["a", "b"]).await;
}

/// A labeler whose database was lost is asked for what comes behind the cursor, which it does not know.
#[tokio::test]
async fn a_labeler_that_counts_anew_is_read_from_its_beginning_behind_a_gap() {
    let folder = tempfile::tempdir().unwrap();
    let mut relay = ScriptedRelay::start().await.unwrap();
    let running = Running::in_folder(folder.path(), relay.url());
    let mut connection = relay.accept_at(Some(0)).await.unwrap();
    send(&mut connection, [(900, "old")]).await;
    running.until_cursor(&relay.url(), 900).await;
    running.stop().await;

    let running = Running::in_folder(folder.path(), relay.url());
    // The index does not come to 900 here, and is not waited for.
    let mut history = relay.accept_at(Some(0)).await.unwrap();
    send(&mut history, [(1, "x")]).await;
    let mut connection = relay.accept_at(Some(900)).await.unwrap();
    connection.fail("FutureCursor", "no").await.unwrap();
    let mut connection = relay.accept_at(Some(0)).await.unwrap();
    send(&mut connection, [(1, "x"), (2, "y")]).await;
    running.until_cursor(&relay.url(), 2).await;
    let events = take(&running.jetstream, StartFrom::Oldest, Filter::new(), 3).await;
    let values = events
        .iter()
        .map(|event| event.label().unwrap().unwrap().val);
    assert_eq!(
        values.map(|val| val.to_string()).collect::<Vec<_>>(),
        ["old", "x", "y"]
    );
    assert_eq!(running.gaps(), [("upstream_renumbered".to_owned(), 1)]);
}

#[tokio::test]
async fn a_labeler_that_does_not_bring_its_past_is_followed_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let mut relay = ScriptedRelay::start().await.unwrap();
    let running = Running::in_folder(folder.path(), relay.url());
    let mut connection = relay.accept_at(Some(0)).await.unwrap();
    send(&mut connection, [(9, "a")]).await;
    running.until_cursor(&relay.url(), 9).await;
    running.stop().await;
    let running = Running::in_folder(folder.path(), relay.url());
    for _ in 0..3 {
        relay.accept_at(Some(0)).await.unwrap().disconnect();
    }
    let mut connection = relay.accept_at(Some(9)).await.unwrap();
    send(&mut connection, [(10, "b")]).await;
    running.until_values(&["a", "b"]).await;
}

#[tokio::test]
async fn what_is_sent_again_is_no_event_and_a_lie_about_a_number_is_gone_back_from() {
    let mut relay = ScriptedRelay::start().await.unwrap();
    let running = Running::of(relay.url());
    let mut connection = relay.accept_at(Some(0)).await.unwrap();
    send(
        &mut connection,
        [(5, "a"), (6, "b"), (6, "b"), (5, "a"), (7, "c")],
    )
    .await;
    running.until_values(&["a", "b", "c"]).await;
    assert_eq!(running.jetstream.snapshot().repeated, 2);
    let greatest = (1 << 53) - 1;
    send(
        &mut connection,
        [(greatest, "lie"), (8, "d"), (9, "e"), (10, "f")],
    )
    .await;
    running.until_cursor(&relay.url(), 10).await;
    let events = take(&running.jetstream, StartFrom::Oldest, Filter::new(), 7).await;
    assert_eq!(events.len(), 7);
    assert_eq!(running.gaps(), [("upstream_renumbered".to_owned(), 1)]);
    send(&mut connection, [(greatest + 1, "beyond"), (11, "g")]).await;
    running.until_cursor(&relay.url(), 11).await;
    assert_eq!(running.dropped("seq_invalid"), 1);
}

#[tokio::test]
async fn what_is_wrong_with_a_label_costs_only_itself() {
    let mut relay = ScriptedRelay::start().await.unwrap();
    let running = Running::of(relay.url());
    let mut connection = relay.accept().await.unwrap();
    let mixed = [
        label(A, "first"),
        SimLabel::new("did:web:other.example", A, "stolen"),
        label(A, "undated").at("today"),
        label(&"x".repeat(2_000), "long"),
        label(A, "last"),
    ];
    let too_long = label(A, &"x".repeat(129));
    let frames = [
        SimLabel::frame(1, &mixed),
        SimLabel::frame(2, &[too_long]),
        b"\xff".to_vec(),
    ];
    connection.send(frames).await.unwrap();
    // A relay's frames have no place in a log of labels.
    let frames = frames_from([SimChange::account(B, true, None)]).unwrap();
    connection.send(frames).await.unwrap();
    let pusher = running.jetstream.pusher("mine");
    pusher
        .push(SimLabel::frame(1, &[label(B, "pushed")]))
        .await
        .unwrap();
    send(&mut connection, [(3, "end")]).await;
    running.until_values(&["first", "last", "end"]).await;
    for (reason, count) in [
        ("label_of_another", 1),
        ("label_malformed", 1),
        ("label_too_long", 1),
        ("frame_over_limit", 1),
        ("frame_malformed", 1),
        ("not_labeler", 1),
    ] {
        until(reason, || running.dropped(reason) == count).await;
    }
    assert_eq!(running.jetstream.labels().len(), 3);
}

#[tokio::test]
async fn labels_and_other_events_have_a_log_each() {
    let (labels, events) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut labeler = SimLabeler::start(LABELER).await.unwrap();
    labeler.label(A, "spam");
    let running = Running::in_folder(labels.path(), labeler.url());
    running.until_values(&["spam"]).await;
    running.stop().await;
    let running = Running::start(Jetstream::builder().folder(events.path()));
    for frame in frames_from([SimChange::account(A, true, None)]).unwrap() {
        running.jetstream.pusher("mine").push(frame).await.unwrap();
    }
    take(&running.jetstream, StartFrom::Oldest, Filter::new(), 1).await;
    running.stop().await;
    let mistake = |builder: JetstreamBuilder| builder.build().unwrap_err().to_string();
    let told = mistake(Jetstream::builder().folder(labels.path()));
    assert!(
        told.ends_with("is one of labels: give the labelers, or another folder"),
        "{told}"
    );
    let told = mistake(
        Jetstream::builder()
            .folder(events.path())
            .labeler("a.example", LABELER),
    );
    assert!(
        told.ends_with("labelers need a folder of their own"),
        "{told}"
    );
}

#[test]
fn other_sources_beside_labelers_are_mistakes() {
    let error = Jetstream::builder()
        .relay("relay.example")
        .labeler("a.example", LABELER)
        .labeler("a.example", LABELER)
        .keep_frames(1 << 20)
        .build()
        .unwrap_err();
    let told: Vec<String> = error.mistakes().iter().map(Mistake::to_string).collect();
    let beside = |setting| {
        format!(
            "labelers have a log of their own, so `{setting}` cannot be beside `labeler`; `labels_from` \
             only fills the index of labels, and can be beside any source"
        )
    };
    let repeated = "the source a.example is given twice".to_owned();
    assert_eq!(told, [beside("relay"), beside("keep_frames"), repeated]);
    let mirror = Jetstream::builder()
        .mirror("a.example")
        .labeler("b.example", LABELER);
    assert!(mirror.build().is_err());
}
