//! A dictionary of one's own: trained on the events of a log, kept in a file, and put into use.
//!
//! ```text
//! cargo run --release -p jetwash-dictionary -- my.zdict
//! ```
//!
//! It needs no connection. `jetwash-server dict` does the same with any events, and says more.

use std::env;
use std::error::Error;
use std::fs;
use std::future::pending;

use futures_util::{StreamExt, TryStreamExt};
use jetwash::dict::{Evaluation, Trainer};
use jetwash::{Dictionary, Filter, Jetstream, NetworkConfig, StartFrom};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = env::args_os().nth(1).ok_or("usage: dictionary FILE")?;
    let network = NetworkConfig::default();
    let (jetstream, ingest) = Jetstream::builder().simulator(network, None).build()?;
    tokio::spawn(ingest.run(pending()));

    // A real one needs more: some 100,000 events.
    let events = jetstream.subscribe(StartFrom::Oldest, Filter::new());
    let mut events = events.await?.take(SEEN + NEW);
    let mut trainer = Trainer::new().sizes([4 << 10]);
    for _ in 0..SEEN {
        let event = events.try_next().await?.ok_or("the stream has ended")?;
        trainer.add(event.json());
    }
    // The number is drawn from the content, so no two dictionaries share one.
    let trained = tokio::task::spawn_blocking(|| trainer.train(None)).await??;
    fs::write(&path, trained.dictionary().bytes())?;

    // From here on another program would continue, which has got the file.
    let dictionary = Dictionary::from_bytes(fs::read(&path)?)?;
    let events: Vec<_> = events.try_collect().await?;
    let lines = events.iter().map(|event| event.json().as_bytes());
    println!("{NEW} new events: {}", Evaluation::of(&dictionary, lines));
    // Keep one of each per worker.
    let (mut compressor, mut decompressor) = (dictionary.compressor(), dictionary.decompressor());
    for event in &events {
        let (mut packed, mut unpacked) = (Vec::new(), Vec::new());
        compressor.compress(event.json().as_bytes(), &mut packed)?;
        decompressor.decompress(&packed, 1 << 20, &mut unpacked)?;
        assert_eq!(unpacked, event.json().as_bytes());
    }
    let id = dictionary.id();
    let first = jetstream.rotate_dictionary(dictionary).await?;
    println!("the log uses dictionary {id} from event {first} on");
    Ok(())
}

const SEEN: usize = 20_000;
const NEW: usize = 1_000;
