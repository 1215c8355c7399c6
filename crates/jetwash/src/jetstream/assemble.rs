use std::mem::take;
use std::sync::Arc;

use jetwash_dict::Dictionary;
use jetwash_store::{Appender, Store, StoreError};
use tokio::sync::{mpsc, watch};

use crate::config::Config;
use crate::consumer::Registry;
use crate::ingest::{
    Dictionaries, Inbox, Intake, Keys, Known, LogTime, Pipeline, RecordCache, SourceCursors, Writer,
};
use crate::jetstream::run::{Feeds, Ingest, Labeler};
use crate::jetstream::{Jetstream, Shared};
use crate::source::{
    BoxedSource, Endpoint, JetstreamFeed, JetstreamSource, RelaySource, Relays, SourceParts, Watch,
};
use crate::stats::Stats;
use crate::verify::ResyncSender;

/// Puts a handle and its runner together. No socket is opened and no thread started before the run.
pub(crate) fn assemble(
    mut config: Config,
    (appender, store): (Appender, Store),
) -> Result<(Jetstream, Ingest), StoreError> {
    let records = config.record_cache.map(RecordCache::new).map(Arc::new);
    let (dictionary, is_trained) = dictionary_to_use(&config, &appender);
    let (intake, arrivals) = Intake::new(config.intake_bytes);
    let (stats, verify) = (Arc::new(Stats::default()), take(&mut config.verify));
    let keys = Arc::new(Keys::new(verify.identities.clone()));
    let resyncs = ResyncSender::new(verify.policy.needs_keys());
    let resync_source = resyncs.source();
    let mut pipeline = pipeline_of(&mut config, appender, dictionary.as_ref())?
        .staged(verify.policy, Arc::clone(&keys), resyncs)
        .record_cache(records.clone())
        .stats(Arc::clone(&stats));
    let (cursors, upstreams) = sources_of(&mut config, &mut pipeline);
    let (dictionaries, rotations) = Dictionaries::new(dictionary);
    let ((questions, asked), (stop, stopped)) = (mpsc::channel(1), watch::channel(false));
    let writer = Writer {
        pipeline,
        inbox: Inbox::new(arrivals, rotations, (asked, config.filter.clone())),
        dictionaries: dictionaries.clone(),
        commit_delay: config.commit_delay,
        clock: config.clock.clone(),
        time: LogTime::new(store.bounds().newest_time_us),
        told: None,
        cursors: Arc::clone(&cursors),
        stats: Arc::clone(&stats),
        stopped: Some(stopped),
        is_mirror: config.mirror.is_some(),
        stage: None,
        touched: Vec::new(),
    };
    let parts = SourceParts {
        intake,
        cursors,
        stats,
        clock: config.clock.clone(),
    };
    let (labelers, labels) = Labeler::all(config.labelers);
    let ingest = Ingest {
        writer,
        verify: (verify, keys),
        stop,
        feeds: Feeds {
            mirror: config.mirror.map(|source| (source, store.clone())),
            sources: boxed(config.relays, config.jetstreams, config.sources),
            labelers,
            upstreams: upstreams.clone(),
            parts: parts.clone(),
        },
        auto: config.auto_dictionary.map(|auto| (auto, is_trained)),
        store: store.clone(),
        dictionaries: dictionaries.clone(),
    };
    let shared = Arc::new(Shared {
        store,
        parts,
        dictionaries,
        questions,
        is_mirror: ingest.writer.is_mirror,
        records,
        consumers: Registry::default(),
        upstreams,
        labels,
        identities: ingest.verify.0.identities.clone(),
        resyncs: resync_source,
    });
    Ok((Jetstream { shared }, ingest))
}

/// How far the sources are, and how the connections are: to the relays, then the Jetstreams, then
/// those of the caller's sources.
fn sources_of(
    config: &mut Config,
    pipeline: &mut Pipeline,
) -> (Arc<SourceCursors>, Vec<Arc<Watch>>) {
    for source in &mut config.jetstreams {
        if let Some(place) = pipeline.add_jetstream(&source.name(), source.host_names()) {
            source.resume(&place);
        }
    }
    // The cursors that the caller gave are set by now, so these are where sources continue.
    let relay_names = || config.relays.0.iter().map(Endpoint::to_string);
    let jetstream_names = || {
        config
            .jetstreams
            .iter()
            .map(|source| source.name().to_string())
    };
    let own_names = config
        .sources
        .iter()
        .map(|source| source.name().to_string());
    let names = relay_names().chain(jetstream_names()).chain(own_names);
    // Those of earlier runs too: frames may be pushed under their names.
    let names = names.chain(pipeline.earlier_sources().map(str::to_owned));
    let known = names.map(|name| (name.as_str().into(), Known::of(pipeline, &name)));
    let cursors = Arc::new(SourceCursors::new(known, relay_names()));
    let watch_of = |name: String| Arc::new(Watch::new(name.into()));
    let mirror = config.mirror.iter().map(|source| source.name().to_string());
    let own = config.sources.iter().filter(|source| source.is_upstream());
    let own = own.map(|source| source.name().to_string());
    let upstreams = relay_names()
        .chain(jetstream_names())
        .chain(own)
        .chain(mirror);
    (cursors, upstreams.map(watch_of).collect())
}

/// All sources, in the order in which [`sources_of`] returns their connections.
fn boxed(
    (relays, options): Relays,
    jetstreams: Vec<JetstreamSource>,
    others: Vec<BoxedSource>,
) -> Vec<BoxedSource> {
    let options = options.map(Arc::new);
    let relay_of = |relay| {
        let options = Arc::clone(options.as_ref()?);
        Some(BoxedSource::new("relay", RelaySource::new(relay, options)))
    };
    let relays = relays.into_iter().filter_map(relay_of);
    let jetstreams = jetstreams.into_iter().map(JetstreamFeed::new);
    let jetstreams = jetstreams.map(|feed| BoxedSource::new("jetstream", feed));
    relays.chain(jetstreams).chain(others).collect()
}

/// A pipeline that takes what the caller wants, from where the caller says.
fn pipeline_of(
    config: &mut Config,
    appender: Appender,
    dictionary: Option<&Dictionary>,
) -> Result<Pipeline, StoreError> {
    let mut pipeline = Pipeline::new(appender)
        .filter(config.filter.borrow().clone())
        .check_blocks(config.block_check);
    if let Some(predicate) = config.predicate.take() {
        pipeline = pipeline.filter_with(predicate);
    }
    let has_labels = !config.labelers.dids.is_empty();
    if has_labels {
        let dids = take(&mut config.labelers.dids);
        pipeline = pipeline.labelers(dids, config.labelers.index.take());
    }
    for (name, cursor) in take(&mut config.cursors) {
        pipeline.set_cursor(&name, cursor);
    }
    // A mirror compresses nothing: events come with their bytes.
    if let Some(dictionary) = dictionary.filter(|_| config.mirror.is_none()) {
        pipeline = pipeline.dictionary(dictionary)?;
    }
    // One source seldom repeats itself, and is recognised when it does; several always do.
    // Of a Jetstream, each operation is to be recognised. Labelers speak for themselves alone.
    let is_one = has_labels || config.relays.0.len() + config.sources.len() <= 1;
    if !is_one || !config.jetstreams.is_empty() {
        pipeline = pipeline.deduplicate();
    }
    let has_others = !config.relays.0.is_empty() || !config.sources.is_empty();
    if config.jetstreams.len() > 1 && !has_others {
        pipeline = pipeline.union(config.clock.read_us().0);
    }
    Ok(pipeline.check_cids(config.check_cids))
}

/// The dictionary to begin with, and whether it is one that an earlier run trained: where they are
/// trained, the log's last goes before the one that was given.
fn dictionary_to_use(config: &Config, appender: &Appender) -> (Option<Dictionary>, bool) {
    if config.mirror.is_some() {
        return (appender.dictionary(), false);
    }
    let known = config.auto_dictionary.as_ref();
    let known = known.and_then(|_| appender.dictionary());
    let is_trained = known.is_some() && known != config.dictionary;
    (known.or_else(|| config.dictionary.clone()), is_trained)
}
