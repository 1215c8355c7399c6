use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jetwash::mst::BlockCheck;
use jetwash::{Dictionary, Endpoint, Jetstream};

use crate::figures::Figures;

/// The options of the process that is measured.
#[derive(Debug, clap::Args)]
pub(crate) struct ReceiveArguments {
    #[arg(long)]
    relay: String,
    /// The number of the last frame
    #[arg(long)]
    last: u64,
    #[arg(long)]
    folder: PathBuf,
    #[arg(long)]
    dictionary: Option<PathBuf>,
    #[arg(long)]
    trusted: bool,
}

/// Takes frames in until the last is in the log, and prints what that took.
pub(crate) fn receive(arguments: &ReceiveArguments) -> Result<(), Box<dyn Error>> {
    let source = arguments.relay.parse::<Endpoint>()?.to_string();
    let mut builder = Jetstream::builder()
        .relay(arguments.relay.as_str())
        .folder(&arguments.folder);
    if let Some(dictionary) = &arguments.dictionary {
        builder = builder.dictionary(Dictionary::from_bytes(fs::read(dictionary)?)?);
    }
    if arguments.trusted {
        builder = builder.check_blocks(BlockCheck::Named);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let figures = runtime.block_on(async {
        let (jetstream, ingest) = builder.build()?;
        let start = Instant::now();
        let mut figures = None;
        let until = async {
            let is_there = || jetstream.source_cursor(&source) >= Some(arguments.last);
            while !is_there() {
                tokio::time::sleep(LOOK).await;
            }
            figures = Some(Figures::read(start.elapsed()));
        };
        ingest.run(until).await?;
        figures.ok_or_else(|| Box::<dyn Error>::from("it ended early"))
    })?;
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}

/// So seldom that looking costs next to nothing.
const LOOK: Duration = Duration::from_millis(10);
