//! A page to look at, for the test in a browser: a small network, posts by somebody who means harm,
//! an upstream that is down, and consumers of which one is stuck.
//!
//! `cargo run -p jetwash-serve --example page -- ADDRESS CONSUMERS`; without arguments on any port,
//! with three consumers.

use std::env;
use std::error::Error;
use std::time::Duration;

use jetwash::{Event, Failure, Jetstream, WhenStuck};
use jetwash_serve::{HttpLimits, ServeOptions, Server, StatusPage, StatusPageOptions, serve_http};
use jetwash_sim::{ManualNetwork, Network, NetworkConfig, SimChange, did};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::{interval, sleep};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let consumers: usize = arguments.next().map_or(Ok(3), |number| number.parse())?;

    // Port 9 discards what it gets, if anything is there at all.
    let (jetstream, ingest) = Jetstream::builder().relay("ws://127.0.0.1:9").build()?;
    tokio::spawn(ingest.run(std::future::pending()));
    tokio::spawn(push_network(jetstream.clone()));
    tokio::spawn(push_harm(jetstream.clone()));
    for number in 1..=consumers {
        tokio::spawn(consume(jetstream.clone(), number));
    }
    let server = Server::new(jetstream, ServeOptions::default());
    let options = StatusPageOptions::default().stream_time(Duration::from_secs(10));
    let page = StatusPage::new(&server, options);
    let listener = TcpListener::bind(address).await?;
    println!("http://{}/", listener.local_addr()?);
    let router = server.router().merge(page.router());
    serve_http(
        listener,
        router,
        HttpLimits::default(),
        std::future::pending(),
    )
    .await?;
    Ok(())
}

/// Fifty frames a second.
async fn push_network(jetstream: Jetstream) -> Result<(), String> {
    let config = NetworkConfig {
        accounts: 50,
        records: 1_000,
        ..NetworkConfig::default()
    };
    let network = Network::new(config).map_err(|error| error.to_string())?;
    let (pusher, mut tick) = (
        jetstream.pusher("network"),
        interval(Duration::from_millis(20)),
    );
    for frame in network {
        tick.tick().await;
        let pushed = pusher.push(frame.bytes).await;
        pushed.map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Two posts a second that try to be more than text.
async fn push_harm(jetstream: Jetstream) -> Result<(), String> {
    let pusher = jetstream.pusher("harm");
    let (mut network, mut tick) = (ManualNetwork::new(), interval(Duration::from_millis(500)));
    for number in 0_u64.. {
        tick.tick().await;
        let text = HARM[number as usize % HARM.len()];
        let post = json!({"$type": POST, "text": text, "createdAt": "2026-01-01T00:00:00Z"});
        let change = SimChange::create(did(900), POST, &format!("harm{number}"), post);
        let frame = network.apply(&change).map_err(|error| error.to_string())?;
        let pushed = pusher.push(frame.bytes).await;
        pushed.map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Handles events at once, but for the first consumer, which hangs, and the second, which fails now
/// and then.
async fn consume(jetstream: Jetstream, number: usize) {
    let consumer = jetstream
        .consumer(&format!("feed {number}"))
        .stuck_after(Duration::from_secs(2))
        .when_stuck(WhenStuck::Wait);
    let run = consumer.run(move |event: Event| async move {
        let is_post = event.collection() == Some(POST);
        match number {
            1 if is_post => sleep(Duration::from_secs(3600)).await,
            2 if event.seq().get().is_multiple_of(100) => {
                return Err(Failure::dead_letter("every hundredth fails"));
            }
            _ => {}
        }
        Ok(())
    });
    if let Err(error) = run.await {
        eprintln!("consumer {number}: {error}");
    }
}

const POST: &str = "app.bsky.feed.post";
const HARM: [&str; 5] = [
    "harm <img src=x onerror=\"document.title='harmed'\">",
    "harm </script><script>document.title='harmed'</script>",
    "harm <style>body{display:none}</style><a href=\"javascript:document.title='harmed'\">here</a>",
    "harm \n\nevent: status\ndata: {}\n\n",
    "harm \u{202e}txet desrever\u{202c} \u{2066}\u{0}\u{7f} \"quotes\" & \\backslashes\\ {{7*7}} ${7*7}",
];
