//! How many events a second a consumer of eight workers handles when its handler takes 1 ms,
//! beside the 8,000 that eight times a thousand would be, and beside eight loops of the same wait
//! with no consumer around them.

use std::error::Error;
use std::time::{Duration, Instant};

use jetwash::{Event, Failure, Jetstream, StartFrom, blocking};
use jetwash_sim::{Network, NetworkConfig};
use tokio::task::JoinSet;

const WORKERS: usize = 8;
const FRAMES: usize = 16_000;
const WAIT: Duration = Duration::from_millis(1);
const AIM: f64 = 8_000.0;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    // Cargo runs benches in test mode too, where there is nothing to measure.
    if std::env::args().any(|argument| argument == "--test") {
        return Ok(());
    }
    let jetstream = filled().await?;
    let events = jetstream.bounds().events();
    println!("{events} events, {WORKERS} workers, {WAIT:?} each; the aim is {AIM} a second\n");

    let thread = bare(events, || {
        let wait = tokio::task::spawn_blocking(|| std::thread::sleep(WAIT));
        async move { wait.await.is_ok() }
    });
    report("bare loops, a thread that sleeps", thread.await, events);
    let handler = blocking(|_: Event| {
        std::thread::sleep(WAIT);
        Ok::<(), Failure>(())
    });
    report(
        "consumer, a thread that sleeps",
        consume(&jetstream, "thread", WORKERS, handler).await?,
        events,
    );

    let timer = bare(events, || async {
        tokio::time::sleep(WAIT).await;
        true
    });
    report("bare loops, tokio's timer", timer.await, events);
    let handler = |_: Event| async {
        tokio::time::sleep(WAIT).await;
        Ok::<(), Failure>(())
    };
    report(
        "consumer, tokio's timer",
        consume(&jetstream, "timer", WORKERS, handler).await?,
        events,
    );

    let handler = |_: Event| async { Ok::<(), Failure>(()) };
    let nothing = consume(&jetstream, "nothing", WORKERS, handler).await?;
    report("consumer, nothing to wait for", nothing, events);
    Ok(())
}

/// A Jetstream in memory whose log has ended.
async fn filled() -> Result<Jetstream, Box<dyn Error>> {
    let (jetstream, ingest) = Jetstream::builder().build()?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let run = ingest.run(async { drop(stopped.await) });
    let run = tokio::spawn(run);
    let pusher = jetstream.pusher("simulator");
    let network = NetworkConfig {
        accounts: 1000,
        records: 1000,
        ..NetworkConfig::default()
    };
    for frame in Network::new(network)?.take(FRAMES) {
        pusher.push(frame.bytes).await?;
    }
    drop(stop);
    run.await??;
    Ok(jetstream)
}

async fn consume(
    jetstream: &Jetstream,
    name: &str,
    workers: usize,
    handler: impl jetwash::Handler,
) -> Result<Duration, Box<dyn Error>> {
    let consumer = jetstream.consumer(name).start_from(StartFrom::Oldest);
    let start = Instant::now();
    consumer.workers(workers).run(handler).await?;
    Ok(start.elapsed())
}

/// The same waits in as many loops, with nothing around them.
async fn bare<F>(events: u64, wait: impl Fn() -> F + Clone + Send + 'static) -> Duration
where
    F: Future<Output = bool> + Send,
{
    let start = Instant::now();
    let mut loops = JoinSet::new();
    for _ in 0..WORKERS {
        let wait = wait.clone();
        loops.spawn(async move {
            for _ in 0..events / WORKERS as u64 {
                wait().await;
            }
        });
    }
    loops.join_all().await;
    start.elapsed()
}

fn report(what: &str, time: Duration, events: u64) {
    let rate = events as f64 / time.as_secs_f64();
    println!(
        "{what:34} {rate:9.0} events/s   {:5.2} of {AIM}",
        rate / AIM
    );
}
