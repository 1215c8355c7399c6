//! Every frame of an account that nobody has seen, and a directory that takes its time.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use jetwash::identity::{Budget, IdentityOptions};
use jetwash::{Filter, Jetstream, StartFrom, Verify};
use jetwash_sim::{ManualNetwork, SimChange, did};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::{interval, sleep};

use crate::into_log::runtime;

pub(crate) fn run() {
    println!(
        "\ncold cache: {RATE} frames/s of new accounts for {SECONDS} s, {} frames/s of known ones \
         beside, a directory that answers in {} ms",
        RATE / SHARE,
        ANSWER.as_millis(),
    );
    println!(
        "{:<34} {:>10} {:>10} {:>10} {:>10} {:>12} {:>12}",
        "", "frames/s", "held most", "verified", "unresolved", "known, p50", "known, p99"
    );
    let second = Duration::from_secs(1);
    let raised = Budget::new(4 * RATE, second * 4);
    for (name, budget, requests) in [
        ("budget raised, 512 requests", Some(raised), 512),
        ("default: 100 a second, 64 requests", None, 64),
    ] {
        one_run(name, budget, requests);
    }
}

fn one_run(name: &str, budget: Option<Budget>, requests: usize) {
    let runtime = runtime();
    let input = Arc::new(Input::new());
    runtime.block_on(async {
        let address = serve(Arc::clone(&input)).await;
        let mut options = IdentityOptions::new()
            .directories([format!("http://{address}")])
            .max_requests(requests);
        if let Some(budget) = budget {
            options = options.directory_budget(budget);
        }
        let identities = options.start().unwrap();
        for number in 0..KNOWN {
            identities
                .resolve(&did(number).parse().unwrap())
                .await
                .unwrap();
        }
        let verify = Verify::lenient(identities);
        let folder = tempfile::tempdir().unwrap();
        let builder = Jetstream::builder().folder(folder.path()).verify(verify);
        let (jetstream, ingest) = builder.build().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(ingest.run(async { drop(stopped.await) }));
        let sent: Arc<Vec<OnceLock<Instant>>> =
            Arc::new(input.known.iter().map(|_| OnceLock::new()).collect());
        let delays = tokio::spawn(delays(jetstream.clone(), Arc::clone(&sent)));
        let begun = Instant::now();
        let held = offer(&jetstream, &input, &sent).await;
        let all = (input.new.len() + input.known.len()) as u64;
        while jetstream.snapshot().events < all {
            sleep(Duration::from_millis(2)).await;
        }
        let took = begun.elapsed().as_secs_f64();
        let mut delays = delays.await.unwrap();
        delays.sort_unstable();
        let at = |share: f64| delays[(delays.len() as f64 * share) as usize];
        let snapshot = jetstream.snapshot();
        let count = |verdict| snapshot.verdicts.get(verdict).copied().unwrap_or(0);
        println!(
            "{name:<34} {:>10.0} {held:>10} {:>10} {:>10} {:>9.1} ms {:>9.1} ms",
            all as f64 / took,
            count("verified"),
            count("unresolved"),
            at(0.50).as_secs_f64() * 1e3,
            at(0.99).as_secs_f64() * 1e3,
        );
        drop(stop);
        task.await.unwrap().unwrap();
    });
}

/// Offers the frames at their rate. Returns how many were held at most.
async fn offer(jetstream: &Jetstream, input: &Input, sent: &[OnceLock<Instant>]) -> u64 {
    let pusher = jetstream.pusher("relay");
    let mut ticks = interval(TICK);
    let (mut held, mut known) = (0, input.known.iter().zip(sent));
    let each = (RATE as f64 * TICK.as_secs_f64()) as usize;
    for (number, frames) in input.new.chunks(each).enumerate() {
        ticks.tick().await;
        for frame in frames {
            pusher.push(frame.clone()).await.unwrap();
        }
        if number % (SHARE as usize / each) == 0
            && let Some((frame, sent)) = known.next()
        {
            sent.get_or_init(Instant::now);
            pusher.push(frame.clone()).await.unwrap();
        }
        held = held.max(jetstream.snapshot().held);
    }
    for (frame, sent) in known {
        sent.get_or_init(Instant::now);
        pusher.push(frame.clone()).await.unwrap();
    }
    held
}

/// How long the frames of known accounts take until a subscription has their events.
async fn delays(jetstream: Jetstream, sent: Arc<Vec<OnceLock<Instant>>>) -> Vec<Duration> {
    let dids: Vec<_> = (0..KNOWN).map(did).collect();
    let filter = Filter::new().dids(&dids).unwrap();
    let mut events = jetstream
        .subscribe(StartFrom::Oldest, filter)
        .await
        .unwrap();
    let mut delays = Vec::new();
    for sent in sent.iter() {
        events.next().await.unwrap().unwrap();
        delays.push(sent.get().unwrap().elapsed());
    }
    delays
}

/// A directory: answers each request after a while, any number of them at once.
async fn serve(input: Arc<Input>) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(answer(socket, Arc::clone(&input)));
        }
    });
    address
}

async fn answer(mut socket: TcpStream, input: Arc<Input>) {
    let mut request = Vec::new();
    while let Ok(count) = socket.read_buf(&mut request).await {
        if count == 0 {
            return;
        }
        if !request.ends_with(b"\r\n\r\n") {
            continue;
        }
        sleep(ANSWER).await;
        let text = String::from_utf8_lossy(&request).into_owned();
        let path = text.split(' ').nth(1).unwrap().trim_start_matches('/');
        let did = path.replace("%3A", ":");
        let document = &input.documents[&did];
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            document.len()
        );
        if socket
            .write_all((head + document).as_bytes())
            .await
            .is_err()
        {
            return;
        }
        request.clear();
    }
}

/// Frames of new accounts, one each, frames of known ones, and the documents of both.
struct Input {
    new: Vec<Vec<u8>>,
    known: Vec<Vec<u8>>,
    documents: HashMap<String, String>,
}

impl Input {
    fn new() -> Self {
        let mut network = ManualNetwork::new();
        let (mut new, mut known) = (Vec::new(), Vec::new());
        let count = u64::from(RATE) * SECONDS;
        for number in 0..count {
            new.push(post(&mut network, KNOWN + number, "new"));
            if number % u64::from(SHARE) == 0 {
                known.push(post(&mut network, number % KNOWN, &format!("key{number}")));
            }
        }
        let documents = (0..KNOWN + count).map(did);
        Self {
            new,
            known,
            documents: documents
                .filter_map(|did| Some((did.to_string(), network.did_document(&did)?)))
                .collect(),
        }
    }
}

fn post(network: &mut ManualNetwork, account: u64, key: &str) -> Vec<u8> {
    let record =
        json!({"$type": "app.bsky.feed.post", "text": "Hej", "createdAt": "2026-07-04T12:00:00Z"});
    let change = SimChange::create(did(account), "app.bsky.feed.post", key, record);
    network.apply(&change).unwrap().bytes
}

const RATE: u32 = 1_000;
const SECONDS: u64 = 10;
/// One frame of a known account for that many of new ones.
const SHARE: u32 = 10;
const KNOWN: u64 = 101;
const ANSWER: Duration = Duration::from_millis(200);
const TICK: Duration = Duration::from_millis(10);
