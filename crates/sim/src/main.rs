//! A simulated AT Protocol network on a socket, or in a file.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use clap::Parser;
use jetwash_event::Micros;
use jetwash_sim::{Network, NetworkConfig, Rate, RelayConfig, serve};
use tokio::net::TcpListener;

/// Simulates an AT Protocol network: accounts, signed repositories, and the frames of a relay.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Where to serve the relay, the DID documents and the repositories.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7777")]
    listen: SocketAddr,

    /// How many accounts there are at first.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    accounts: usize,

    /// How many records a typical account has at first.
    #[arg(long, value_name = "N", default_value_t = NetworkConfig::full_size().records)]
    records: u64,

    /// The number from which the network follows.
    #[arg(long, value_name = "N", default_value_t = 42)]
    seed: u64,

    /// Frames a second, or `max`: as fast as the slowest reader takes them.
    #[arg(long, default_value = "343")]
    rate: Rate,

    /// Stop after this many frames; the kept ones are still served.
    #[arg(long, value_name = "N")]
    frames: Option<u64>,

    /// How many frames are kept for readers with a cursor.
    #[arg(long, value_name = "N", default_value_t = RelayConfig::default().history_frames)]
    history: usize,

    /// How many bytes of frames are kept for readers with a cursor.
    #[arg(long, value_name = "N", default_value_t = RelayConfig::default().history_bytes)]
    history_bytes: usize,

    /// How many of the records written since the start are kept; beyond that, accounts delete their
    /// oldest ones.
    #[arg(long, value_name = "N", default_value_t = NetworkConfig::default().kept_records)]
    kept_records: u64,

    /// The time of the first frame: `now`, or microseconds since 1970.
    #[arg(long, value_name = "TIME", value_parser = parse_start)]
    start: Option<Micros>,

    /// The sequence number of the first frame.
    #[arg(long, value_name = "N", default_value_t = 1)]
    first_seq: u64,

    /// How many decisions in a million are about accounts and not about records.
    #[arg(long, value_name = "N", default_value_t = NetworkConfig::default().rare_per_million)]
    rare_per_million: u32,

    /// Write frames to a file and do not serve: before each its length, 32 bits, little-endian.
    /// The DID documents go beside it, as lines of JSON, in a file with `.dids.jsonl` appended.
    #[arg(long, value_name = "FILE", requires = "frames")]
    dump: Option<PathBuf>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match &args.dump {
        Some(path) => dump(&args, path),
        None => run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("jetwash-sim: {error}");
            ExitCode::FAILURE
        }
    }
}

fn network(args: &Args) -> io::Result<Network> {
    let defaults = NetworkConfig::default();
    let config = NetworkConfig {
        accounts: args.accounts,
        records: args.records,
        seed: args.seed,
        start: args.start.unwrap_or(defaults.start),
        first_seq: args.first_seq,
        rare_per_million: args.rare_per_million,
        kept_records: args.kept_records,
        pds: format!("http://{}", args.listen),
    };
    Network::new(config).map_err(io::Error::other)
}

fn run(args: &Args) -> io::Result<()> {
    let config = RelayConfig {
        rate: args.rate,
        frames: args.frames,
        history_frames: args.history,
        history_bytes: args.history_bytes,
        ..RelayConfig::default()
    };
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(args.listen).await.map_err(|error| {
            let message = format!("--listen {}: {error}", args.listen);
            io::Error::new(error.kind(), message)
        })?;
        let address = listener.local_addr()?;
        let network = network(args)?;
        println!("listening on {address}");
        serve(listener, network, config, interrupted()).await
    })
}

async fn interrupted() {
    // Without a handler the signal ends the program all the same.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn dump(args: &Args, path: &Path) -> io::Result<()> {
    let mut network = network(args)?;
    let count = usize::try_from(args.frames.unwrap_or(0)).map_err(io::Error::other)?;
    let mut frames = create(path)?;
    for frame in network.by_ref().take(count) {
        let length = u32::try_from(frame.bytes.len()).map_err(io::Error::other)?;
        frames.write_all(&length.to_le_bytes())?;
        frames.write_all(&frame.bytes)?;
    }
    frames.flush()?;
    let mut name = path.to_owned().into_os_string();
    name.push(".dids.jsonl");
    let mut documents = create(Path::new(&name))?;
    for document in network.dids().filter_map(|did| network.did_document(did)) {
        writeln!(documents, "{document}")?;
    }
    documents.flush()
}

fn create(path: &Path) -> io::Result<BufWriter<File>> {
    let file = File::create(path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    Ok(BufWriter::new(file))
}

fn parse_start(text: &str) -> Result<Micros, String> {
    let range = NetworkConfig::MIN_START..=NetworkConfig::MAX_START;
    let start = match text {
        "now" => Some(SystemTime::now().into()),
        _ => text.parse().ok(),
    };
    start.filter(|start| range.contains(start)).ok_or_else(|| {
        format!(
            "neither `now` nor microseconds since 1970 from {} to {}",
            range.start(),
            range.end()
        )
    })
}
