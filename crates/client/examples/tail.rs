//! Prints the events of a Jetstream, one a line: `tail HOST [COLLECTION]...`.

use std::error::Error;
use std::io::Write;

use jetwash_client::{Client, ClientFilter, ClientItem};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let host = arguments.next().ok_or("usage: tail HOST [COLLECTION]...")?;
    let filter = ClientFilter::new().collections(arguments)?;
    let mut client = Client::builder([host]).filter(filter).build()?;
    let mut out = std::io::stdout().lock();
    while let Some(item) = client.next().await {
        match item? {
            ClientItem::Event(event) => {
                out.write_all(event.text())?;
                out.write_all(b"\n")?;
            }
            ClientItem::Gap(gap) => eprintln!("events are missing: {}", gap.cause),
            ClientItem::Malformed(reason) => eprintln!("a message was skipped: {reason}"),
            ClientItem::Connected(connected) => {
                let kind = if connected.is_compressed {
                    "compressed"
                } else {
                    "plain"
                };
                eprintln!("{}, {}, {kind}", connected.host, connected.protocol);
            }
            ClientItem::Disconnected(end) => {
                eprintln!(
                    "{}: {}; next attempt in {:?}",
                    end.host, end.reason, end.wait
                );
            }
            _ => {}
        }
    }
    Ok(())
}
