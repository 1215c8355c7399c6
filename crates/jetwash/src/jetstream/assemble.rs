use std::mem::take;
use std::sync::{Arc, Mutex};

use jetwash_dict::Dictionary;
use jetwash_store::{Appender, Store, StoreError};
use tokio::sync::mpsc;

use crate::config::Config;
use crate::consumer::Registry;
use crate::ingest::{
    Dictionaries, Inbox, Intake, Known, LogTime, Pipeline, RecordCache, SourceCursors, Writer,
};
use crate::jetstream::parts::Parts;
use crate::jetstream::{Jetstream, Shared};
use crate::source::{Endpoint, Watch};
use crate::stats::Stats;

impl Jetstream {
    /// Puts the parts together. No socket is opened and no thread started before the run.
    pub(crate) fn assemble(
        mut config: Config,
        (appender, store): (Appender, Store),
    ) -> Result<Self, StoreError> {
        let stats = Arc::new(Stats::default());
        let records = config.record_cache.map(RecordCache::new).map(Arc::new);
        let (relays, sources) = (take(&mut config.relays), take(&mut config.sources));
        let endpoints = &relays.0;
        let relay_names = || endpoints.iter().map(Endpoint::to_string);
        let (dictionary, is_trained) = dictionary_to_use(&config, &appender);
        let auto = config.auto_dictionary.take().map(|auto| (auto, is_trained));
        let (commit_delay, clock) = (config.commit_delay, config.clock.clone());
        let (intake, arrivals) = Intake::new(config.intake_bytes);

        let mut pipeline = pipeline_of(config, appender)
            .record_cache(records.clone())
            .stats(Arc::clone(&stats));
        if let Some(dictionary) = &dictionary {
            pipeline = pipeline.dictionary(dictionary)?;
        }
        // One source seldom repeats itself, and is recognised when it does; several always do.
        if endpoints.len() + sources.len() > 1 {
            pipeline = pipeline.deduplicate();
        }
        // The cursors that the caller gave are set by now, so these are where sources continue.
        let names = relay_names().chain(sources.iter().map(|source| source.name.clone()));
        let known = names.map(|name| (name.as_str().into(), Known::of(&pipeline, &name)));
        let cursors = Arc::new(SourceCursors::new(known, relay_names()));

        let watch = |name: String| Arc::new(Watch::new(name.into()));
        let upstreams = relay_names().map(watch).collect();
        let (dictionaries, rotations) = Dictionaries::new(dictionary);
        let (positions, asked) = mpsc::channel(1);
        let writer = Writer {
            pipeline,
            inbox: Inbox::new(arrivals, rotations, asked),
            dictionaries: dictionaries.clone(),
            commit_delay,
            clock: clock.clone(),
            time: LogTime::new(store.bounds().newest_time_us),
            told: None,
            cursors: Arc::clone(&cursors),
            stats: Arc::clone(&stats),
            stopped: None,
        };
        let parts = Parts {
            writer,
            relays,
            sources,
            clock,
            auto,
        };
        let shared = Shared {
            store,
            stats,
            cursors,
            intake,
            dictionaries,
            positions,
            records,
            consumers: Registry::default(),
            upstreams,
            parts: Mutex::new(Some(parts)),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }
}

/// A pipeline that takes what the caller wants, from where the caller says.
fn pipeline_of(config: Config, appender: Appender) -> Pipeline {
    let mut pipeline = Pipeline::new(appender)
        .filter(config.filter)
        .check_blocks(config.block_check);
    if let Some(predicate) = config.predicate {
        pipeline = pipeline.filter_with(predicate);
    }
    for (name, cursor) in config.cursors {
        pipeline.set_cursor(&name, cursor);
    }
    pipeline
}

/// The dictionary to begin with, and whether it is one that an earlier run trained: where they are
/// trained, the log's last goes before the one that was given.
fn dictionary_to_use(config: &Config, appender: &Appender) -> (Option<Dictionary>, bool) {
    let known = config.auto_dictionary.as_ref();
    let known = known.and_then(|_| appender.dictionary());
    let is_trained = known.is_some() && known != config.dictionary;
    (known.or_else(|| config.dictionary.clone()), is_trained)
}
