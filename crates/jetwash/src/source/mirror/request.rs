use jetwash_event::Micros;
use jetwash_store::{LogId, Read, Seq, Store, StoreError};
use url::Url;

/// The place from which a host is asked to continue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// The log that the mirror has. `None` as long as it has none.
    log: Option<LogId>,
    /// The next position wanted.
    seq: Seq,
    /// The time of the event before that, if there is one: it says whether the two logs are the
    /// same up to there.
    time_us: Option<Micros>,
}

impl Request {
    /// The place behind all that is committed. Blocks on the disk.
    pub(super) fn of(store: &Store) -> Result<Self, StoreError> {
        let seq = store.bounds().next_seq;
        Ok(Self {
            log: store.is_mirror().then(|| store.log_id()),
            seq,
            time_us: last_time(store, seq)?,
        })
    }

    /// The next position wanted.
    pub(super) const fn seq(&self) -> Seq {
        self.seq
    }

    /// The log that the mirror has.
    pub(super) const fn log(&self) -> Option<LogId> {
        self.log
    }

    /// The address of a host with this place in its query.
    pub(super) fn url(&self, endpoint: &Url) -> Url {
        let mut url = endpoint.clone();
        let mut query = url.query_pairs_mut();
        // Also where there is nothing yet: what the host no longer has comes as a gap then.
        query.append_pair("seq", &self.seq.get().to_string());
        if let Some(log) = self.log {
            query.append_pair("log", &log.to_string());
        }
        if let Some(time_us) = self.time_us {
            query.append_pair("time_us", &time_us.get().to_string());
        }
        drop(query);
        url
    }
}

/// The time of the event right before a position. `None` if there is no event there.
fn last_time(store: &Store, next: Seq) -> Result<Option<Micros>, StoreError> {
    let last = next.previous();
    if last >= next || last < store.bounds().oldest_seq {
        return Ok(None);
    }
    let Read::Events(run) = store.read(last)? else {
        return Ok(None);
    };
    let first = run.indexes().next();
    let meta = first.and_then(|index| run.block().meta(index));
    Ok(meta
        .filter(|meta| meta.seq == last)
        .map(|meta| meta.time_us))
}
