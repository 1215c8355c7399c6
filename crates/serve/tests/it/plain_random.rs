//! Random filters over plain HTTP, against a websocket that asks for the same.

use jetwash_serve::ServeOptions;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use tokio::runtime::Runtime;

use crate::answer::{Answer, Source, all_lines};
use crate::events;
use crate::log::World;

/// A filter, in the words of both versions.
#[derive(Clone, Debug)]
struct Wanted {
    is_v2: bool,
    collections: Vec<&'static str>,
    dids: Vec<usize>,
    size: usize,
}

impl Wanted {
    fn query(&self, world: &World) -> String {
        let [collections, dids] = if self.is_v2 {
            ["collections", "dids"]
        } else {
            ["wantedCollections", "wantedDids"]
        };
        let mut query = format!("maxMessageSizeBytes={}", self.size);
        for collection in &self.collections {
            query += &format!("&{collections}={collection}");
        }
        for &did in &self.dids {
            query += &format!("&{dids}={}", world.dids[did]);
        }
        query
    }

    const fn route(&self) -> &'static str {
        if self.is_v2 { "/v2/events" } else { "/events" }
    }

    /// Events that a websocket gets from a cursor on, up to the live end.
    async fn over_websocket(&self, world: &World, cursor: u64) -> Vec<String> {
        let query = format!("cursor={cursor}&caughtUp=true&{}", self.query(world));
        if !self.is_v2 {
            return world.connect(&query).await.playback().await;
        }
        let mut client = events::connect(world, &query).await;
        let mut texts = Vec::new();
        loop {
            let text = client.text().await;
            if text.contains(r#"#info","message":"#) {
                return texts;
            }
            texts.push(text);
        }
    }
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let collections = subsequence(
        vec![
            "app.bsky.feed.post",
            "app.bsky.feed.like",
            "app.bsky.graph.*",
            "app.bsky.feed.*",
        ],
        0..=3,
    );
    let dids = subsequence((0..10).collect::<Vec<_>>(), 0..=4);
    let size = select(vec![0, 0, 0, 450, 600]);
    (any::<bool>(), collections, dids, size).prop_map(|(is_v2, collections, dids, size)| Wanted {
        is_v2,
        collections,
        dids,
        size,
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 32,
        max_shrink_iters: 60,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_filter_gives_what_a_websocket_gets_in_its_order(
        wanted in wanted(),
        share in 0.0..1.0_f64,
        limit in 1..40_usize,
        stop in 0..60_usize,
        later in 1..80_usize,
    ) {
        Runtime::new().unwrap().block_on(async {
            let world = World::start(ServeOptions::default(), None).await;
            world.push(150).await;
            let log = world.events();
            let first = &log[(share * log.len() as f64) as usize];
            let cursor = if wanted.is_v2 { first.seq } else { first.time_us };
            let expected = wanted.over_websocket(&world, cursor).await;
            let target = format!("{}?cursor={cursor}&{}", wanted.route(), wanted.query(&world));
            let found = all_lines(&world, &format!("{target}&until=live")).await;
            prop_assert_eq!(&found, &expected);
            let most = limit.min(expected.len());
            let bounded = format!("{target}&until=live&limit={limit}");
            let found = all_lines(&world, &bounded).await;
            prop_assert_eq!(&found[..], &expected[..most]);
            // A source that leaves somewhere, and comes back when there is more.
            let mut source = Source::default();
            let mut answer = Answer::get(world.address, &target, &source.headers()).await;
            // The first block is no event.
            for _ in 0..=stop.min(expected.len()) {
                source.feed(answer.block().await.unwrap().as_bytes());
            }
            drop(answer);
            world.push(later).await;
            source.reconnect();
            source.read_all(&world, &format!("{target}&until=live")).await;
            let expected = wanted.over_websocket(&world, cursor).await;
            prop_assert_eq!(source.messages(), expected);
            Ok(())
        })?;
    }
}
