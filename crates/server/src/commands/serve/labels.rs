//! A log of labels beside the log of events.

use std::error::Error;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use jetwash::{Ingest, Jetstream, JetstreamBuilder, RunError};

/// The options that say whose labels are kept.
#[derive(Debug, Args)]
pub(crate) struct LabelOptions {
    /// Keep the labels of a labeler, and serve them at /labels: its host or websocket URL, and its DID,
    /// as in mod.bsky.app=did:plc:ar7c4by46qjdydhdevvrndac; may be given more than once
    ///
    /// They are in a log of their own, in the folder `labels` of the data folder, for as long as events.
    #[arg(long = "labeler", value_name = "ADDRESS=DID")]
    labelers: Vec<Labeler>,
}

impl LabelOptions {
    /// The log of labels, without its folder; `None` if there are no labelers.
    pub(super) fn builder(&self, event_ttl: Duration) -> Option<JetstreamBuilder> {
        if self.labelers.is_empty() {
            return None;
        }
        // Nobody asks the index, which would take a gigabyte for a large labeler.
        let builder = Jetstream::builder()
            .no_label_index()
            .retain_for(event_ttl)
            .memory_budget(MEMORY);
        let labelers = self.labelers.iter();
        Some(labelers.fold(builder, |builder, Labeler { address, did }| {
            builder.labeler(address, did)
        }))
    }

    /// Opens the log of labels, if there are labelers.
    pub(super) fn open(
        &self,
        event_ttl: Duration,
        folder: Option<PathBuf>,
    ) -> Result<Option<(Jetstream, Ingest)>, Box<dyn Error>> {
        let Some(mut builder) = self.builder(event_ttl) else {
            return Ok(None);
        };
        if let Some(folder) = folder {
            builder = builder.folder(folder);
        }
        let opened = builder.build();
        Ok(Some(opened.map_err(|error| format!("--labeler: {error}"))?))
    }
}

/// Feeds the log of labels, if there is one, until the stop.
pub(super) async fn run(
    ingest: Option<Ingest>,
    stopped: impl Future<Output = ()> + Send,
) -> Result<(), RunError> {
    match ingest {
        Some(ingest) => ingest.run(stopped).await,
        None => {
            stopped.await;
            Ok(())
        }
    }
}

/// A labeler to follow.
#[derive(Clone, Debug)]
struct Labeler {
    address: String,
    did: String,
}

impl FromStr for Labeler {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // A URL may have a `=`, but a DID has none.
        match text.rsplit_once('=') {
            Some((address, did)) if !address.is_empty() && did.starts_with("did:") => Ok(Self {
                address: address.to_owned(),
                did: did.to_owned(),
            }),
            _ => Err(
                "it must be an address, a = and a DID, such as labeler.example=did:web:labeler.example",
            ),
        }
    }
}

/// Labels are few: a hundredth of the events.
const MEMORY: usize = 4 << 20;
