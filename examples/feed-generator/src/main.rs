//! The program: see the library's page for what it does and how to run it.

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::Parser;
use feed_generator::{Identity, Index, Rule, follow, router};
use jetwash::{Filter, Ingest, Jetstream, NetworkConfig};
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

/// A feed of posts with certain words in them.
#[derive(Debug, Parser)]
struct Arguments {
    /// The relay to follow; without one, a simulated network in this process
    #[arg(long, value_name = "HOST")]
    relay: Option<String>,

    /// The folder for the log and the feed; without one, both are in memory
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,

    /// A word that posts of the feed contain; may be given more than once
    #[arg(long = "keyword", value_name = "WORD", default_value = "coffee")]
    keywords: Vec<String>,

    /// A language that posts of the feed are in, such as da; may be given more than once
    #[arg(long = "language", value_name = "TAG")]
    languages: Vec<String>,

    /// The host that the feed is reached under, over HTTPS
    #[arg(long, default_value = "localhost")]
    hostname: String,

    /// The DID of the account that publishes the feed; without one, the service's own
    #[arg(long, value_name = "DID")]
    publisher: Option<String>,

    /// The record key of the feed
    #[arg(long, default_value = "words")]
    name: String,

    /// Where the feed is served
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3000")]
    listen: SocketAddr,

    /// Stop after this number of seconds
    #[arg(long = "for", value_name = "SECONDS")]
    duration: Option<u64>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let levels = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(levels).init();
    let arguments = Arguments::parse();
    let (jetstream, ingest) = build(&arguments)?;
    let database = arguments
        .data_dir
        .as_ref()
        .map(|folder| folder.join("feed.db"));
    let index = Arc::new(Index::open(database.as_deref())?);
    let rule = Arc::new(Rule::new(&arguments.keywords, &arguments.languages));
    let service = format!("did:web:{}", arguments.hostname);
    let identity = Identity {
        hostname: arguments.hostname,
        publisher: arguments.publisher.unwrap_or(service),
        name: arguments.name,
    };

    let listener = TcpListener::bind(arguments.listen).await?;
    let feed = identity.feed();
    let address = listener.local_addr()?;
    println!("http://{address}/xrpc/app.bsky.feed.getFeedSkeleton?feed={feed}");
    let serving = axum::serve(listener, router(Arc::clone(&index), identity));
    tokio::select! {
        outcome = follow(&jetstream, Arc::clone(&index), rule) => outcome?,
        outcome = serving.into_future() => outcome?,
        outcome = ingest.run(stop(arguments.duration)) => outcome?,
    }
    let posts = index.page(100, None)?.posts;
    println!("stopped; the newest {} posts:", posts.len());
    posts.iter().take(3).for_each(|uri| println!("{uri}"));
    Ok(())
}

fn build(arguments: &Arguments) -> Result<(Jetstream, Ingest), Box<dyn Error + Send + Sync>> {
    // What is no post, and not about an account either, is turned away before it is decoded.
    let posts = Filter::new().collections(["app.bsky.feed.post"])?;
    let mut builder = Jetstream::builder().ingest_filter(posts);
    if let Some(folder) = &arguments.data_dir {
        builder = builder.folder(folder.join("log"));
    }
    builder = match &arguments.relay {
        Some(relay) => builder.relay(relay),
        None => builder.simulator(simulated_network(), Some(1000)),
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

/// Completes on Ctrl-C, or after the given seconds.
async fn stop(after: Option<u64>) {
    let time = async {
        match after {
            Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = time => {}
    }
}
