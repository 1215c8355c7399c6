//! From the socket of a Jetstream into a log on disk.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jetwash::{Dictionary, Jetstream, JetstreamOptions};
use tokio::sync::oneshot;

use crate::host::{Host, websocket_frames};
use crate::input::{Input, Version};

/// Prints how many events a second of one core are taken in, in each version, plain and compressed
/// on the way, into logs with and without compression of their own.
pub(crate) fn measure(input: &Input) {
    println!(
        "\nin, from a socket into the log on disk: {} events of {} accounts; median of {ROUNDS} rounds",
        COPIES * input.v1.lines.len(),
        ACCOUNTS * 99,
    );
    println!(
        "{:<44} {:>12} {:>18} {:>14}",
        "", "us/event", "a second a core", "a second"
    );
    let ways: Vec<Way<'_>> = [&input.v1, &input.v2]
        .into_iter()
        .flat_map(|version| [false, true].map(|compress| (version, compress)))
        .flat_map(|(version, compress)| {
            let messages = version.copies(COPIES, ACCOUNTS);
            let host = Arc::new(host(version, compress, &messages));
            let count = messages.len() as u64;
            [None, Some(&input.v1.dictionary)].map(|log| Way {
                name: format!(
                    "{}, {}, log {}",
                    version.name,
                    if compress { "compressed" } else { "plain" },
                    if log.is_some() { "compressed" } else { "plain" },
                ),
                version,
                compress,
                log: log.cloned(),
                host: Arc::clone(&host),
                count,
            })
        })
        .collect();
    let mut rounds = vec![Vec::new(); ways.len()];
    for _ in 0..ROUNDS {
        for (way, rounds) in ways.iter().zip(&mut rounds) {
            rounds.push(way.run());
        }
    }
    for (way, mut rounds) in ways.iter().zip(rounds) {
        rounds.sort_unstable();
        let (used, took) = rounds[rounds.len() / 2];
        let each = used.as_nanos() as f64 / way.count as f64;
        println!(
            "{:<44} {:>12.2} {:>18.0} {:>14.0}",
            way.name,
            each / 1e3,
            1e9 / each,
            way.count as f64 / took.as_secs_f64(),
        );
    }
}

struct Way<'a> {
    name: String,
    version: &'a Version,
    compress: bool,
    /// The dictionary that the log compresses with.
    log: Option<Dictionary>,
    host: Arc<Host>,
    count: u64,
}

impl Way<'_> {
    /// Takes all events in, and returns the processor time without the host's, and the time that
    /// passed.
    fn run(&self) -> (Duration, Duration) {
        let folder = tempfile::tempdir().unwrap();
        let options = JetstreamOptions::new()
            .protocol(self.version.protocol)
            .dictionary(self.version.dictionary.clone());
        let options = if self.compress {
            options
        } else {
            options.plain()
        };
        let mut builder = Jetstream::builder()
            .folder(folder.path())
            .jetstream(&self.host.url)
            .jetstream_options(options);
        if let Some(dictionary) = &self.log {
            builder = builder.dictionary(dictionary.clone());
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let (start, used, host) = (Instant::now(), cpu_time(), self.host.used());
        runtime.block_on(async {
            let (jetstream, ingest) = builder.build().unwrap();
            let (stop, stopped) = oneshot::channel::<()>();
            let running = tokio::spawn(ingest.run(async { drop(stopped.await) }));
            let since = Instant::now();
            while jetstream.bounds().next_seq.get() <= self.count {
                assert!(
                    since.elapsed() < PATIENCE,
                    "{}: events are missing",
                    self.name
                );
                tokio::time::sleep(LOOK).await;
            }
            drop(stop);
            running.await.unwrap().unwrap();
        });
        let own = (cpu_time() - used).saturating_sub(Duration::from_nanos(self.host.used() - host));
        (own, start.elapsed())
    }
}

fn host(version: &Version, compress: bool, messages: &[Vec<u8>]) -> Host {
    let bytes = if compress {
        let mut compressor = version.dictionary.compressor();
        let compressed: Vec<Vec<u8>> = messages
            .iter()
            .map(|message| {
                let mut bytes = Vec::new();
                compressor.compress(message, &mut bytes).unwrap();
                bytes
            })
            .collect();
        websocket_frames(0x82, &compressed)
    } else {
        websocket_frames(0x81, messages)
    };
    Host::start(Arc::new(bytes), version.dictionary.clone())
}

/// The time that this process has used.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Events are 102 times as many.
const COPIES: usize = 200;
/// Accounts are some 99 times as many.
const ACCOUNTS: usize = 100;
const ROUNDS: usize = 5;
const LOOK: Duration = Duration::from_millis(2);
const PATIENCE: Duration = Duration::from_secs(120);
