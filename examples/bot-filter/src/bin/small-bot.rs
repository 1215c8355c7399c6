//! A bot for a machine with little memory: it follows a Jetstream, keeps the posts in a log of its
//! own, and prints those with a word in them.
//!
//! ```text
//! cargo run --release -p bot-filter --bin small-bot -- wss://jetstream2.us-east.bsky.network ./bot coffee
//! ```
//!
//! Its memory is measured by `examples/bot-filter/memory.sh`.

use std::error::Error;

use jetwash::{Event, Failure, Filter, Jetstream};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Ok([jetstream, folder, word]) = <[String; 3]>::try_from(arguments) else {
        return Err("usage: small-bot JETSTREAM FOLDER WORD".into());
    };
    let builder = Jetstream::builder()
        .jetstream(&jetstream)
        .ingest_filter(Filter::new().collections(["app.bsky.feed.post"])?)
        .folder(folder)
        // The least there is.
        .memory_budget(2 << 20);
    let (jetstream, ingest) = builder.build()?;
    let handler = move |event: Event| {
        if event.json().contains(&word) {
            println!("{}", event.json());
        }
        async { Ok::<(), Failure>(()) }
    };
    tokio::select! {
        outcome = jetstream.consumer("small-bot").run(handler) => outcome?,
        outcome = ingest.run(std::future::pending()) => outcome?,
    }
    Ok(())
}
