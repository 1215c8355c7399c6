//! The program: see the library's page for what it does and how to run it.

use std::error::Error;
use std::future::pending;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::Parser;
use jetwash::identity::IdentityOptions;
use jetwash::{
    Dictionary, Endpoint, Ingest, Jetstream, NetworkConfig, SIMULATOR, Verify, simulator_identities,
};
use jetwash_serve::{HttpLimits, serve_http};
use relay::Relay;
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

/// A relay's frames, kept and sent on, beside its events as JSON.
#[derive(Debug, Parser)]
struct Arguments {
    /// The relay to follow; without one, a simulated network in this process
    #[arg(long, value_name = "HOST")]
    relay: Option<Endpoint>,

    /// The folder for events and frames; without one, both are in memory
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,

    /// How many megabytes of frames are kept
    #[arg(long, value_name = "MEGABYTES", default_value_t = 512)]
    keep: u64,

    /// Where both streams are served
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:2470")]
    listen: SocketAddr,

    /// Send on only what its account signed: keys are looked up at https://plc.directory, or in the
    /// simulated network
    #[arg(long)]
    verify: bool,

    /// Stop after this number of seconds
    #[arg(long = "for", value_name = "SECONDS")]
    duration: Option<u64>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let levels = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(levels).init();
    let arguments = Arguments::parse();
    let (jetstream, ingest) = build(&arguments)?;
    let source = arguments.relay.as_ref();
    let source = source.map_or_else(|| SIMULATOR.to_owned(), Endpoint::to_string);

    let relay = Relay::new(jetstream.clone(), &source)?;
    let listener = TcpListener::bind(arguments.listen).await?;
    let address = listener.local_addr()?;
    println!("frames at ws://{address}/xrpc/com.atproto.sync.subscribeRepos");
    println!("events at ws://{address}/subscribe");
    let limits = HttpLimits::default();
    tokio::select! {
        outcome = serve_http(listener, relay.router(), limits, pending()) => outcome?,
        outcome = ingest.run(stop(arguments.duration)) => outcome?,
    }
    relay.close(Duration::from_secs(2)).await;
    if let Some(kept) = jetstream.store().frame_bounds(&source) {
        let (oldest, newest) = (kept.oldest_seq, kept.next_seq - 1);
        println!("stopped; the frames kept are {oldest} to {newest}");
    }
    Ok(())
}

fn build(arguments: &Arguments) -> Result<(Jetstream, Ingest), Box<dyn Error>> {
    let mut builder = Jetstream::builder()
        .keep_frames(arguments.keep << 20)
        .dictionary(Dictionary::builtin()?);
    if let Some(folder) = &arguments.data_dir {
        builder = builder.folder(folder);
    }
    let identities = match &arguments.relay {
        Some(_) => IdentityOptions::new(),
        None => simulator_identities(&simulated_network())?,
    };
    if arguments.verify {
        builder = builder.verify(Verify::lenient(identities.start()?));
    }
    builder = match &arguments.relay {
        Some(relay) => builder.relay(relay.to_string()),
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
            None => pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = time => {}
    }
}
