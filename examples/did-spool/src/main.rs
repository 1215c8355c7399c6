//! The posts of known accounts, out of the whole network, into files: in about forty lines.
//!
//! The accounts are read from a file and changed over HTTP while events flow. `did-spool-load`
//! brings the files into SQLite, now or later, deletions and takedowns included. Nothing is heard
//! any more of an account that is removed: its posts stay as they are.

mod accounts;
mod control;

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::Parser;
use jetwash::{Endpoint, Filter, Jetstream, JetstreamBuilder, Kind, NetworkConfig, SIMULATOR};
use jetwash_serve::raise_file_limit;
use jetwash_spool::{Compression, FileSpool};
use tracing::warn;

use crate::accounts::Accounts;
use crate::control::Control;

#[derive(Debug, Parser)]
struct Arguments {
    /// The accounts: one DID a line, `#` begins a comment.
    #[arg(long, default_value = "did-spool/dids.txt")]
    dids: PathBuf,
    /// Where the log and the files are kept.
    #[arg(long, default_value = "did-spool")]
    folder: PathBuf,
    /// The relay to follow.
    #[arg(long, default_value = "relay1.us-east.bsky.network")]
    relay: String,
    /// Follow a simulated network in this process instead.
    #[arg(long)]
    sim: bool,
    /// Complete a file this number of seconds after its first post.
    #[arg(long, default_value_t = 10.0)]
    roll_after: f64,
    /// Where accounts are added and removed.
    #[arg(long, default_value = "127.0.0.1:7780")]
    listen: SocketAddr,
    /// A name that callers use for this host, besides `localhost`; may be given more than once.
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<String>,
    /// The token that callers must send, 16 characters or more; needed if `--listen` is not on loopback.
    #[arg(long, env = "DID_SPOOL_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("did-spool: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let levels = tracing_subscriber::EnvFilter::try_from_default_env();
    tracing_subscriber::fmt()
        .with_env_filter(levels.unwrap_or_else(|_| "info,fjall=warn,lsm_tree=warn".into()))
        .with_writer(std::io::stderr)
        .init();
    if let Err(error) = raise_file_limit() {
        warn!(%error, "the limit of open files stays as it is");
    }
    std::fs::create_dir_all(&arguments.folder)?;
    let (builder, source) = source(&arguments)?;

    // What others write is turned away before it is decoded. What becomes of the accounts is kept
    // beside their posts, so that the loader hears of deletions and takedowns.
    let accounts = Accounts::open(&arguments.dids)?;
    let wanted = Filter::new()
        .did_set(accounts.set().clone())
        .collections(["app.bsky.feed.post"])?
        .kinds([Kind::Commit, Kind::Account]);
    // The log holds so much that a full disk can be noticed and mended.
    let (jetstream, ingest) = builder
        .folder(arguments.folder.join("log"))
        .retain_for(3 * DAY)
        .ingest_filter(wanted)
        .build()?;
    let spool = FileSpool::builder(arguments.folder.join("spool"))
        .compression(Compression::Zstd(3))
        .roll_after(Duration::try_from_secs_f64(arguments.roll_after)?)
        .build()?;
    let control = Control::new(accounts, jetstream.clone(), source, spool.status());
    let server = control
        .bind(arguments.listen, arguments.token, arguments.hosts)
        .await?;

    // The spool ends with the log, once it has written the rest of it.
    let serving = tokio::spawn(server.serve());
    let running = ingest.run(interrupted());
    let spooling = spool.run(&jetstream, std::future::pending());
    let (ran, spooled) = tokio::join!(running, spooling);
    serving.abort();
    ran?;
    Ok(spooled?)
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Where frames come from, and under which name.
fn source(arguments: &Arguments) -> Result<(JetstreamBuilder, String), Box<dyn Error>> {
    let builder = Jetstream::builder();
    if !arguments.sim {
        let name = arguments.relay.parse::<Endpoint>()?.to_string();
        return Ok((builder.relay(&name), name));
    }
    // It continues from one run to the next, as the real network does.
    let network = NetworkConfig::default().starting_at(SystemTime::now());
    if !arguments.dids.exists() {
        // Every tenth account, so that there is something to see.
        let network = jetwash_sim::Network::new(network.clone())?;
        let dids: Vec<&str> = network.dids().step_by(10).collect();
        std::fs::write(&arguments.dids, dids.join("\n") + "\n")?;
    }
    Ok((builder.simulator(network, Some(343)), SIMULATOR.to_owned()))
}

/// Completes when the process is asked to stop.
async fn interrupted() {
    #[cfg(unix)]
    if let Ok(mut terminate) =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
    {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        return;
    }
    drop(tokio::signal::ctrl_c().await);
}
