//! Serves a Jetstream: arguments, builder, router.

mod announce;
mod arguments;
mod check;
mod descriptions;
mod figures;
mod labels;
mod memory;
mod metrics;
#[cfg(unix)]
mod notify;
mod page_options;
mod program_options;
mod reload;
mod replay;
mod report;
mod set_up;
mod subscriber_options;
mod verification;

use std::error::Error;
use std::io;
use std::thread;

use jetwash_serve::{StatusPage, raise_file_limit};
use tokio::net::TcpListener;
use tokio::runtime::{self, Runtime};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tracing::{info, warn};

use crate::configuration::InUse;
use crate::exit::{Ended, Outcome};
use crate::listen::ListenAddress;
use crate::logging;

pub(crate) use arguments::{Arguments, ReadAgain};
use reload::{Hangups, Reload};

/// Serves until the process is asked to stop.
pub(crate) fn run(arguments: Arguments, settings: Vec<InUse>, read_again: ReadAgain) -> Ended {
    if arguments.program.check {
        return check::run(&arguments, &settings);
    }
    memory::share();
    logging::start(arguments.program.logging());
    let unused = Arguments::unused_variables();
    if !unused.is_empty() {
        warn!(
            "these variables of the environment mean nothing here: {}",
            unused.join(", ")
        );
    }
    runtime()?.block_on(serve(arguments, settings, read_again))?;
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

async fn serve(
    arguments: Arguments,
    settings: Vec<InUse>,
    read_again: ReadAgain,
) -> Result<(), Box<dyn Error>> {
    // Before anything else: until then each of these signals ends the process at once.
    let interrupted = interrupted();
    let hangups = Hangups::new();
    allow_many_files();
    let metrics = metrics::install()?;
    let network = arguments.network();
    let keys = arguments.keys(network.as_ref());
    let accounts = set_up::accounts(&arguments)?;
    let (jetstream, ingest) = set_up::open(&arguments, &keys, accounts.as_ref())?;
    let follower = verification::follower(&keys, jetstream.identities())?;
    let (server, labels) = set_up::server(&arguments, jetstream.clone())?;
    let listener = bind("--listen", arguments.listen).await?;
    let metrics_listener = bind("--metrics-listen", arguments.metrics_listen).await?;
    announce::announce(&arguments, &keys, &jetstream, &listener, &metrics_listener);
    let reload = Reload {
        read_again,
        jetstream: jetstream.clone(),
        settings,
        accounts,
        collections: arguments.collections.clone(),
    };

    let (stop, stopped) = watch::channel(());
    let stopped = || {
        let mut stopped = stopped.clone();
        async move { drop(stopped.changed().await) }
    };
    // Ended when this is dropped.
    let mut beside = JoinSet::new();
    beside.spawn(reload.run(hangups));
    beside.spawn(verification::watch_resyncs(jetstream.resyncs()));
    let handles = (jetstream.clone(), server.clone(), metrics.clone());
    beside.spawn(report::every(arguments.report_every, handles));
    let page = StatusPage::new(&server, arguments.page_options());
    let (router, metered) = (page.router(), jetstream.clone());
    let metrics = metrics::serve(metrics_listener, metrics, metered, router, stopped());
    let following = follower.map(|follower| tokio::spawn(follower.run(stopped())));
    let serving = tokio::spawn(server.serve(listener, stopped()));
    let measuring = tokio::spawn(metrics);
    let labelling = tokio::spawn(labels::run(labels, stopped()));
    let tasks = [
        serving.abort_handle(),
        measuring.abort_handle(),
        labelling.abort_handle(),
    ];
    let is_serving = move || !tasks.iter().any(AbortHandle::is_finished);
    beside.spawn(notify::watch(jetstream.clone(), is_serving));
    notify::ready();
    let interrupted = async {
        interrupted.await;
        notify::stopping();
    };
    // Subscribers are closed first: the log ends when there is nobody left to miss it.
    let outcome = ingest.run(interrupted).await;
    stop.send_replace(());
    serving.await??;
    measuring.await??;
    labelling.await??;
    if let Some(following) = following {
        following.await?;
    }
    info!("stopped");
    Ok(outcome?)
}

fn allow_many_files() {
    if let Err(error) = raise_file_limit() {
        warn!(%error, "the limit of open files stays as it is");
    }
}

async fn bind(option: &str, address: ListenAddress) -> Result<TcpListener, Box<dyn Error>> {
    let listener = address.bind().await;
    Ok(listener.map_err(|error| format!("{option} {address}: {error}"))?)
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

/// There is no systemd to tell.
#[cfg(not(unix))]
mod notify {
    pub(super) fn ready() {}

    pub(super) fn stopping() {}

    pub(super) async fn watch(_jetstream: jetwash::Jetstream, _is_serving: impl Fn() -> bool) {}
}

const MAX_WORKERS: usize = 4;
/// How many readers may wait for the disk, or for events to be unpacked, at once. More of these
/// threads than that would leave too little of the processor to the one that writes the log.
const MIN_BLOCKING: usize = 4;
const MAX_BLOCKING: usize = 16;
