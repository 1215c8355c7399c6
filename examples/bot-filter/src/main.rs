//! The program: see the library's page for what it does and how to run it.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bot_filter::Watch;
use clap::Parser;
use jetwash::testing::did;
use jetwash::{Event, Failure, Filter, Ingest, Jetstream, NetworkConfig, StartFrom};
use tokio::sync::Notify;
use tracing_subscriber::EnvFilter;

/// Prints the posts that mention an account or contain a word.
#[derive(Debug, Parser)]
struct Arguments {
    /// The relay to follow; without one, a simulated network in this process
    #[arg(long, value_name = "HOST")]
    relay: Option<String>,

    /// The Jetstream to follow instead of a relay, which needs far less bandwidth
    #[arg(long, value_name = "URL", conflicts_with = "relay")]
    jetstream: Option<String>,

    /// The folder for the log, and with it the cursor of the bot
    #[arg(long, value_name = "FOLDER", default_value = "./bot-filter-data")]
    data_dir: PathBuf,

    /// A word to listen for; may be given more than once
    #[arg(long = "keyword", value_name = "WORD")]
    keywords: Vec<String>,

    /// An account to listen for, by its DID; may be given more than once
    #[arg(long = "mention", value_name = "DID")]
    mentions: Vec<String>,

    /// Stop after this number of posts
    #[arg(long, value_name = "NUMBER")]
    count: Option<u64>,

    /// Stop after this number of seconds
    #[arg(long = "for", value_name = "SECONDS")]
    duration: Option<u64>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let levels = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(levels).init();
    let arguments = Arguments::parse();
    let watch = watch(&arguments);
    let (jetstream, ingest) = build(&arguments)?;

    let found = Arc::new(AtomicU64::new(0));
    let enough = Arc::new(Notify::new());
    let consumer = jetstream
        .consumer("bot-filter")
        .filter(Filter::new().collections(["app.bsky.feed.post"])?)
        .start_from(StartFrom::Oldest)
        .shutdown(stop(arguments.duration, Arc::clone(&enough)));
    let handler = {
        let found = Arc::clone(&found);
        move |event: Event| {
            if let Some(hit) = watch.look(&event) {
                println!("{}  {}  {:?}", hit.because, hit.uri, hit.text);
                if Some(found.fetch_add(1, Ordering::Relaxed) + 1) == arguments.count {
                    enough.notify_one();
                }
            }
            async { Ok::<(), Failure>(()) }
        }
    };
    tokio::select! {
        outcome = consumer.run(handler) => outcome?,
        outcome = ingest.run(std::future::pending()) => outcome?,
    }
    println!("stopped after {} posts", found.load(Ordering::Relaxed));
    Ok(())
}

/// The rule of the arguments; on the simulator, by default, words that occur there.
fn watch(arguments: &Arguments) -> Watch {
    let Arguments {
        keywords,
        mentions,
        relay,
        jetstream,
        ..
    } = arguments;
    if relay.is_none() && jetstream.is_none() && keywords.is_empty() && mentions.is_empty() {
        return Watch::new(["coffee"], (0..20).map(did));
    }
    Watch::new(keywords, mentions)
}

fn build(arguments: &Arguments) -> Result<(Jetstream, Ingest), Box<dyn Error>> {
    let builder = Jetstream::builder()
        .folder(&arguments.data_dir)
        .ingest_filter(Filter::new().collections(["app.bsky.feed.post"])?);
    let builder = match (&arguments.relay, &arguments.jetstream) {
        (Some(relay), _) => builder.relay(relay),
        (None, Some(jetstream)) => builder.jetstream(jetstream),
        (None, None) => builder.simulator(simulated_network(), Some(500)),
    };
    Ok(builder.build()?)
}

/// A network that continues from one run to the next, as the real one does.
fn simulated_network() -> NetworkConfig {
    let config = NetworkConfig {
        // Fewer than in the real network, so that it is there at once.
        records: 2000,
        ..NetworkConfig::default()
    };
    config.starting_at(SystemTime::now())
}

/// Completes on Ctrl-C, after the given seconds, or when there are enough posts.
async fn stop(after: Option<u64>, enough: Arc<Notify>) {
    let time = async {
        match after {
            Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = time => {}
        () = enough.notified() => {}
    }
}
