use std::error::Error;
use std::path::Path;
use std::time::SystemTime;

use jetwash::event::FilterError;
use jetwash::{
    AutoDictionary, Dictionary, DidFile, DidSet, Filter, Ingest, Jetstream, JetstreamBuilder,
    NetworkConfig, store,
};
use jetwash_serve::{ServeOptions, Server};
use tracing::info;

use crate::commands::serve::arguments::Arguments;
use crate::commands::serve::replay;
use crate::commands::serve::verification::{self, Keys};
use crate::dictionary;

/// Loads the accounts whose events are taken in, unless all are.
pub(super) fn accounts(arguments: &Arguments) -> Result<Option<DidFile>, String> {
    let Some(path) = &arguments.accounts else {
        return Ok(None);
    };
    let file = DidFile::new(path, DidSet::new());
    let loaded = file
        .load()
        .map_err(|error| format!("--accounts: {error}"))?;
    let accounts = loaded.count();
    info!(
        "events of {accounts} accounts are taken in: those in {}",
        path.display()
    );
    Ok(Some(file))
}

/// The events that are taken in: those of some collections, and of some accounts.
pub(super) fn ingest_filter(
    collections: &[String],
    accounts: Option<&DidFile>,
) -> Result<Filter, FilterError> {
    let filter = Filter::new().collections(collections)?;
    Ok(match accounts {
        Some(file) => filter.did_set(file.set().clone()),
        None => filter,
    })
}

/// The options of subscriptions, with the dictionaries that are files.
fn serve_options(arguments: &Arguments) -> Result<ServeOptions, Box<dyn Error>> {
    let options = arguments.serve_options();
    let options = options.binary_dictionary(Dictionary::builtin_binary()?);
    let Some(path) = &arguments.v2_dictionary else {
        return Ok(options);
    };
    let dictionary = dictionary::read(path).map_err(|error| format!("--v2-dictionary: {error}"))?;
    Ok(options.v2_dictionary(dictionary))
}

/// Makes the server, with the log of labels if there is to be one. Returns what feeds that too.
pub(super) fn server(
    arguments: &Arguments,
    jetstream: Jetstream,
) -> Result<(Server, Option<Ingest>), Box<dyn Error>> {
    let server = Server::new(jetstream, serve_options(arguments)?);
    Ok(match arguments.open_labels()? {
        Some((labels, ingest)) => {
            let labels = Server::new(labels, arguments.serve_options());
            (server.labels(&labels), Some(ingest))
        }
        None => (server, None),
    })
}

/// Opens the log, repaired if that was asked for.
pub(super) fn open(
    arguments: &Arguments,
    keys: &Keys<'_>,
    accounts: Option<&DidFile>,
) -> Result<(Jetstream, Ingest), Box<dyn Error>> {
    let named = arguments.dictionary_file();
    let dictionary = match named {
        Some(name) => dictionary::load(name, &arguments.dictionary_folder())
            .map_err(|error| format!("--dictionary: {error}"))?,
        None => Dictionary::builtin()?,
    };
    let mut builder = builder(arguments, keys, dictionary)?;
    let collections = &arguments.collections;
    if !collections.is_empty() {
        let names = collections.join(", ");
        info!("events of these collections are taken in: {names}");
    }
    builder = builder.ingest_filter(ingest_filter(collections, accounts)?);
    if let Some(folder) = arguments.folder() {
        if arguments.repair {
            repair(&folder)?;
        }
        builder = builder.folder(folder);
    }
    Ok(builder.build()?)
}

/// All but the folder of the log.
pub(super) fn builder(
    arguments: &Arguments,
    keys: &Keys<'_>,
    dictionary: Dictionary,
) -> Result<JetstreamBuilder, Box<dyn Error>> {
    let mut builder = Jetstream::builder()
        .verify(verification::verify(keys)?)
        .retain_for(arguments.event_ttl)
        .memory_budget(usize::try_from(arguments.memory_budget).unwrap_or(usize::MAX))
        .intake_bytes(INTAKE_BYTES);
    if let Some(bytes) = arguments.max_bytes {
        builder = builder.retain_bytes(bytes);
    }
    if arguments.is_mirror() {
        return Ok(builder.mirrors(arguments.mirrors.clone()));
    }
    if arguments.trains_dictionaries() {
        let events = arguments.dictionary_events;
        let auto = AutoDictionary::new().first_after(events).look_every(events);
        builder = builder.auto_dictionary(auto);
    }
    builder = add_jetstreams(builder, arguments, &dictionary);
    builder = builder.dictionary(dictionary);
    add_sources(builder, arguments, keys.network)
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

/// How many bytes of frames may wait for the pipeline: hundreds of them, and hardly one does.
const INTAKE_BYTES: usize = 512 << 10;
