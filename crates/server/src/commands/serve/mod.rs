//! Serves a Jetstream: arguments, builder, router.

mod arguments;
mod descriptions;
mod dictionary;
mod figures;
mod memory;
mod metrics;
mod page_options;
mod replay;
mod report;
mod verification;

use std::error::Error;
use std::io;
use std::path::Path;
use std::thread;
use std::time::SystemTime;

use jetwash::{
    AutoDictionary, Dictionary, Endpoint, Ingest, Jetstream, JetstreamBuilder, NetworkConfig, store,
};
use jetwash_serve::{Server, StatusPage, raise_file_limit};
use tokio::net::TcpListener;
use tokio::runtime::{self, Runtime};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::commands::serve::verification::Keys;
use crate::exit::{Ended, Outcome};
use crate::listen::ListenAddress;
use crate::logging;

pub(crate) use arguments::Arguments;

/// Serves until the process is asked to stop.
pub(crate) fn run(arguments: Arguments) -> Ended {
    memory::share();
    logging::start();
    let unused = Arguments::unused_variables();
    if !unused.is_empty() {
        warn!(
            "these variables of the environment mean nothing here: {}",
            unused.join(", ")
        );
    }
    runtime()?.block_on(serve(arguments))?;
    Ok(Outcome::Well)
}

/// A few threads are enough: they hardly do more than hand bytes to the kernel.
fn runtime() -> io::Result<Runtime> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    runtime::Builder::new_multi_thread()
        .worker_threads(cores.min(MAX_WORKERS))
        .max_blocking_threads((2 * cores).clamp(MIN_BLOCKING, MAX_BLOCKING))
        .enable_all()
        .build()
}

async fn serve(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    // Before anything else: until then each of these signals ends the process at once.
    let interrupted = interrupted();
    let hangups = tokio::spawn(ignore_hangups());
    if let Err(error) = raise_file_limit() {
        warn!(%error, "the limit of open files stays as it is");
    }
    let metrics = metrics::install()?;
    let network = arguments.network();
    let keys = arguments.keys(network.as_ref());
    let (jetstream, ingest) = build(&arguments, &keys)?;
    let follower = verification::follower(&keys, jetstream.identities())?;
    let options = arguments.serve_options();
    let mut options = options.binary_dictionary(Dictionary::builtin_binary()?);
    if let Some(path) = &arguments.v2_dictionary {
        let dictionary =
            dictionary::read(path).map_err(|error| format!("--v2-dictionary: {error}"))?;
        options = options.v2_dictionary(dictionary);
    }
    let server = Server::new(jetstream.clone(), options);
    let listener = bind("--listen", arguments.listen).await?;
    let reporting = report::every(
        arguments.report_every,
        jetstream.clone(),
        server.clone(),
        metrics.clone(),
    );
    let reporting = tokio::spawn(reporting);
    let metrics_listener = bind("--metrics-listen", arguments.metrics_listen).await?;
    announce(&arguments, &keys, &jetstream, &listener, &metrics_listener);

    let (stop, stopped) = watch::channel(());
    let stopped = || {
        let mut stopped = stopped.clone();
        async move { drop(stopped.changed().await) }
    };
    let page = StatusPage::new(&server, arguments.page_options());
    let (router, metered) = (page.router(), jetstream.clone());
    let metrics = metrics::serve(metrics_listener, metrics, metered, router, stopped());
    let watching = tokio::spawn(verification::watch_resyncs(jetstream.resyncs()));
    let following = follower.map(|follower| tokio::spawn(follower.run(stopped())));
    let serving = tokio::spawn(server.serve(listener, stopped()));
    let measuring = tokio::spawn(metrics);
    // Subscribers are closed first: the log ends when there is nobody left to miss it.
    let outcome = ingest.run(interrupted).await;
    stop.send_replace(());
    serving.await??;
    measuring.await??;
    if let Some(following) = following {
        following.await?;
    }
    watching.abort();
    reporting.abort();
    hangups.abort();
    info!("stopped");
    Ok(outcome?)
}

fn build(arguments: &Arguments, keys: &Keys<'_>) -> Result<(Jetstream, Ingest), Box<dyn Error>> {
    let mut builder = Jetstream::builder()
        .verify(verification::verify(keys)?)
        .retain_for(arguments.event_ttl)
        .memory_budget(usize::try_from(arguments.memory_budget).unwrap_or(usize::MAX))
        .intake_bytes(INTAKE_BYTES);
    if let Some(folder) = arguments.folder() {
        if arguments.repair {
            repair(&folder)?;
        }
        builder = builder.folder(folder);
    }
    if let Some(bytes) = arguments.max_bytes {
        builder = builder.retain_bytes(bytes);
    }
    if arguments.is_mirror() {
        return Ok(builder.mirrors(arguments.mirrors.clone()).build()?);
    }
    let named = arguments.dictionary.as_deref();
    let is_auto = named == Some(Path::new("auto"));
    let dictionary = match named.filter(|_| !is_auto) {
        Some(name) => dictionary::load(name, &arguments.dictionary_folder())
            .map_err(|error| format!("--dictionary: {error}"))?,
        None => Dictionary::builtin()?,
    };
    if is_auto {
        let events = arguments.dictionary_events;
        let auto = AutoDictionary::new().first_after(events).look_every(events);
        builder = builder.auto_dictionary(auto);
    }
    builder = add_jetstreams(builder, arguments, &dictionary);
    builder = builder.dictionary(dictionary);
    Ok(add_sources(builder, arguments, keys.network)?.build()?)
}

/// Makes the log one that can be opened, and says what was found.
fn repair(folder: &Path) -> Result<(), Box<dyn Error>> {
    if !folder.try_exists()? {
        info!("repair: there is no log in {} yet", folder.display());
        return Ok(());
    }
    let report = store::repair(folder)?;
    for line in report.to_string().lines() {
        info!("repair: {line}");
    }
    Ok(())
}

/// Adds the Jetstreams: of several, the next is used when one fails, or all at once.
fn add_jetstreams(
    builder: JetstreamBuilder,
    arguments: &Arguments,
    dictionary: &Dictionary,
) -> JetstreamBuilder {
    if arguments.jetstreams.is_empty() {
        return builder;
    }
    let (builder, hosts) = (
        builder.jetstream_options(arguments.jetstream_options(dictionary)),
        arguments.jetstreams.clone(),
    );
    match arguments.union {
        true => builder.jetstream_union(hosts),
        false => builder.jetstreams(hosts),
    }
}

fn add_sources(
    mut builder: JetstreamBuilder,
    arguments: &Arguments,
    network: Option<&NetworkConfig>,
) -> Result<JetstreamBuilder, Box<dyn Error>> {
    for relay in arguments.relays() {
        if let Ok(cursor) = u64::try_from(arguments.override_relay_cursor) {
            builder = builder.relay_cursor(&relay, cursor);
        }
        builder = builder.relay(relay);
    }
    if let Some(path) = &arguments.replay {
        let frames =
            replay::open(path).map_err(|error| format!("--replay {}: {error}", path.display()))?;
        builder = builder.frame_stream(path.display().to_string(), frames);
    }
    if let Some(config) = network {
        // It continues from one run to the next, as the real network does.
        let network = config.clone().starting_at(SystemTime::now());
        builder = builder.simulator(network, arguments.sim_rate());
    }
    Ok(builder)
}

/// Where events come from, in words.
fn source_of(arguments: &Arguments) -> String {
    match (&arguments.replay, arguments.sim) {
        (Some(path), _) => format!("the file {}", path.display()),
        (None, true) => "a simulated network in this process".to_owned(),
        (None, false) if arguments.is_mirror() => {
            format!(
                "the log of {}, which is mirrored",
                arguments.mirrors.join(" or ")
            )
        }
        (None, false) => {
            let relays = arguments.relays();
            let full = |relay: &String| relay.parse::<Endpoint>().map(|relay| relay.to_string());
            let mut names: Vec<_> = relays.iter().filter_map(|relay| full(relay).ok()).collect();
            if !arguments.jetstreams.is_empty() {
                let word = if arguments.union { " and " } else { " or " };
                let hosts = arguments.jetstreams.join(word);
                names.push(format!("the Jetstream {hosts}"));
            }
            names.join(" and ")
        }
    }
}

/// Prints where events come from, where they are kept, and where they are served.
fn announce(
    arguments: &Arguments,
    keys: &Keys<'_>,
    jetstream: &Jetstream,
    listener: &TcpListener,
    metrics_listener: &TcpListener,
) {
    let source = source_of(arguments);
    let place = match arguments.folder() {
        Some(folder) => format!("in the folder {}", folder.display()),
        None => "in memory".to_owned(),
    };
    let limit = match arguments.max_bytes {
        Some(bytes) => format!(" and at most {} MB", bytes / 1_000_000),
        None => String::new(),
    };
    let ttl = humantime::format_duration(arguments.event_ttl);
    let address = listener.local_addr().map_or_else(
        |_| arguments.listen.to_string(),
        |address| match address.ip().is_unspecified() {
            true => format!("localhost:{}", address.port()),
            false => address.to_string(),
        },
    );
    let whose = match &arguments.dictionary {
        _ if arguments.is_mirror() => "the dictionaries that it has there".to_owned(),
        Some(name) if name.as_os_str() == "v1" => "the official dictionary".to_owned(),
        Some(name) if name.as_os_str() == "auto" => {
            format!(
                "dictionaries trained every {} events if need be",
                arguments.dictionary_events
            )
        }
        Some(name) => format!("the dictionary in {}", name.display()),
        None => "jetwash's own dictionary".to_owned(),
    };
    let id = jetstream
        .dictionary()
        .map_or(0, |dictionary| dictionary.id());
    info!("events come from {source}");
    let number = match id {
        0 => String::new(),
        id => format!(", number {id}"),
    };
    info!("they are kept {place} for {ttl}{limit}, and compressed with {whose}{number}");
    info!("{}", verification::policy_line(keys));
    info!("subscribe at ws://{address}/subscribe");
    info!("print events with: jetwash-server tail {address}");
    if let Ok(address) = metrics_listener.local_addr() {
        info!("a page to look at is at http://{address}/");
        info!("metrics at http://{address}/metrics");
    }
}

async fn bind(option: &str, address: ListenAddress) -> Result<TcpListener, Box<dyn Error>> {
    let listener = address.bind().await;
    Ok(listener.map_err(|error| format!("{option} {address}: {error}"))?)
}

/// Lets a SIGHUP, which a terminal that closes sends and some tools mean as "read the settings
/// again", end nothing, from the call on.
fn ignore_hangups() -> impl Future<Output = ()> {
    #[cfg(unix)]
    let hangups = {
        use tokio::signal::unix::{SignalKind, signal};
        signal(SignalKind::hangup())
    };
    async move {
        #[cfg(unix)]
        if let Ok(mut hangups) = hangups {
            while hangups.recv().await.is_some() {
                info!("SIGHUP is ignored: settings are read at the start only");
            }
        }
    }
}

/// Completes when the process is asked to stop. From the call on, not only from when it is awaited,
/// the signals end nothing by themselves.
fn interrupted() -> impl Future<Output = ()> {
    #[cfg(unix)]
    let signals = {
        use tokio::signal::unix::{SignalKind, signal};
        (
            signal(SignalKind::terminate()),
            signal(SignalKind::interrupt()),
        )
    };
    async move {
        #[cfg(unix)]
        if let (Ok(mut terminate), Ok(mut interrupt)) = signals {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            return;
        }
        // Without a way to be told, the process runs until it is killed, which loses nothing either.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

const MAX_WORKERS: usize = 4;
/// How many readers may wait for the disk, or for events to be unpacked, at once. More of these
/// threads than that would leave too little of the processor to the one that writes the log.
const MIN_BLOCKING: usize = 4;
const MAX_BLOCKING: usize = 16;
/// How many bytes of frames may wait for the pipeline: hundreds of them, and hardly one does.
const INTAKE_BYTES: usize = 512 << 10;
