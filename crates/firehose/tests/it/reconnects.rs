//! Any series of cuts and reconnects.

use std::sync::LazyLock;

use jetwash_firehose::FirehoseOptions;
use proptest::prelude::*;
use tokio_tungstenite::tungstenite::Message;

use crate::relay::{Relay, network, seq_of};

/// One step of a series.
#[derive(Clone, Debug)]
enum Step {
    /// The source sends this many frames.
    Send(usize),
    /// The client reads up to this many frames.
    Read(usize),
    /// The connection is cut, without a goodbye or with one, perhaps in the middle of a frame.
    Cut { is_polite: bool },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1..40_usize).prop_map(Step::Send),
        3 => (1..50_usize).prop_map(Step::Read),
        2 => any::<bool>().prop_map(|is_polite| Step::Cut { is_polite }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn each_frame_comes_once_and_in_order_whatever_is_cut(
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play(&steps));
    }
}

/// Plays the steps with a client that does as the specification says: it stores the number of the
/// last frame that it has, and skips what it has.
async fn play(steps: &[Step]) {
    let relay = Relay::start(1 << 30, FirehoseOptions::default()).await;
    let frames = &*FRAMES;
    let (mut sent, mut seen, mut cursor) = (0, Vec::new(), 0);
    let mut client = relay.served.connect("?cursor=0").await;
    let read = Step::Read(usize::MAX);
    for step in steps.iter().chain([&read]) {
        match *step {
            Step::Send(count) => {
                relay.take_in(&frames[sent..sent + count]).await;
                sent += count;
            }
            Step::Read(count) => {
                let wanted = sent.min(seen.len().saturating_add(count));
                while seen.len() < wanted {
                    let frame = client.next().await;
                    if seq_of(&frame) > cursor {
                        cursor = seq_of(&frame);
                        seen.push(frame);
                    }
                }
            }
            Step::Cut { is_polite } => {
                if is_polite {
                    client.send(Message::Close(None)).await;
                }
                drop(client);
                client = relay.served.connect(&format!("?cursor={cursor}")).await;
                // The frame of the cursor itself comes again, and nothing before it.
                if cursor > 0 {
                    let again = client.next().await;
                    assert!(Some(&again) == seen.last(), "not the cursor's frame");
                }
            }
        }
    }
    assert_eq!(seen.len(), sent);
    assert!(seen == frames[..sent], "not the frames that were sent");
}

/// As many as the steps can send at most, made once for all cases.
static FRAMES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| network(1600));
