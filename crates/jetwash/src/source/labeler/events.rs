use std::error::Error;
use std::sync::Arc;

use jetwash_event::Labels;

use super::expiry::expire;
use super::{IndexFeed, LabelerAddress};
use crate::source::{Prepared, Relay, Source, SourceHandle};

/// A labeler as a source of events.
///
/// The index needs all that it has ever said, and the log what comes behind the stored cursor. So it is
/// read from its beginning to there first, for the index alone, and then followed as a relay is: what
/// the pipeline takes in goes into both.
pub(crate) struct LabelerSource {
    address: LabelerAddress,
    /// The index, and what fills it with the past; `None` if there is to be no index.
    index: Option<(Labels, IndexFeed)>,
    options: Arc<Prepared>,
}

impl LabelerSource {
    pub(crate) fn new(
        address: LabelerAddress,
        labels: Option<Labels>,
        options: Arc<Prepared>,
    ) -> Self {
        let index = labels.map(|labels| {
            let feed = IndexFeed::new(address.clone(), labels.clone(), Arc::clone(&options));
            (labels, feed)
        });
        Self {
            address,
            index,
            options,
        }
    }

    async fn follow(&mut self, handle: &SourceHandle) {
        let parts = handle.parts();
        let cursor = handle.cursor().filter(|&cursor| cursor > 0);
        if let (Some(cursor), Some((_, history))) = (cursor, &mut self.index) {
            history.read_to(cursor, handle).await;
        }
        let relay = Relay::new(
            self.address.endpoint.clone(),
            parts.intake.clone(),
            Arc::clone(&parts.stats),
            Arc::clone(handle.watch()),
            parts.clock.clone(),
            Arc::clone(&self.options),
        );
        let resume = |source: &str| {
            let known = parts.cursors.known(source);
            // All that there is, if nothing of it has come yet.
            Some(known.and_then(|known| known.resume).unwrap_or_default())
        };
        relay.of_labeler().run(resume).await;
    }
}

impl Source for LabelerSource {
    fn name(&self) -> &str {
        self.address.name()
    }

    fn is_upstream(&self) -> bool {
        true
    }

    async fn run(&mut self, handle: SourceHandle) -> Result<(), Box<dyn Error + Send + Sync>> {
        let labels = self.index.as_ref().map(|(labels, _)| labels.clone());
        let clock = handle.parts().clock.clone();
        let expiring = async {
            match labels {
                Some(labels) => expire(labels, clock).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.follow(&handle) => Ok(()),
            never = expiring => match never {},
        }
    }
}
