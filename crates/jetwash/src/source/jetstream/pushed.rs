use std::future::pending;
use std::time::Duration;

use jetwash_client::{ClientFilter, ClientKind, FilterError};
use jetwash_event::{Did, DidSet, Filter, Kind};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// The part of the ingest filter that hosts are asked to apply, which changes with the filter and with
/// the sets of accounts in it. The pipeline applies all of the filter.
#[derive(Clone, Debug)]
pub(super) struct PushedFilter {
    filter: watch::Receiver<Filter>,
    /// The version of the sets that hosts were told last.
    version: u64,
    /// When they may be told another.
    next: Instant,
}

impl PushedFilter {
    pub(super) fn new(filter: watch::Receiver<Filter>) -> Self {
        Self {
            filter,
            version: 0,
            next: Instant::now(),
        }
    }

    /// Returns what hosts can apply by now, for a client that begins or is told.
    pub(super) fn tell(&mut self) -> Result<ClientFilter, FilterError> {
        let filter = self.filter.borrow_and_update().clone();
        // Read first: a change that comes meanwhile is one more to tell.
        self.version = version_of_sets(&filter);
        self.next = Instant::now() + GATHER;
        pushed_down(&filter)
    }

    /// Waits until the filter or its sets have changed since hosts were told, and long enough ago.
    pub(super) async fn changed(&self) {
        if Instant::now() < self.next {
            sleep_until(self.next).await;
        }
        let has_sets = !self.filter.borrow().did_sets().is_empty();
        let mut another = self.filter.clone();
        while version_of_sets(&self.filter.borrow()) == self.version {
            let look = Instant::now() + LOOK;
            tokio::select! {
                replaced = another.changed() => match replaced {
                    Ok(()) => return,
                    // Without the writer there will be no other.
                    Err(_) => return pending().await,
                },
                () = sleep_until(look), if has_sets => {}
            }
        }
    }
}

/// Returns the part of an ingest filter that a host can apply.
///
/// Accounts are only sent if there are few enough of them, named and in sets.
pub(super) fn pushed_down(filter: &Filter) -> Result<ClientFilter, FilterError> {
    let mut pushed = ClientFilter::new().collections(filter.named_collections())?;
    let sets = filter.did_sets();
    let count = filter.did_count() + sets.iter().map(DidSet::len).sum::<usize>();
    if filter.has_dids() && count <= MOST_DIDS {
        let mut dids: Vec<Did> = filter.named_dids().cloned().collect();
        dids.extend(sets.iter().flat_map(DidSet::iter));
        pushed = match dids.is_empty() {
            // On the wire, no account stands for all of them.
            true => pushed.dids([NOBODY])?,
            // One that grew meanwhile is told in the next update.
            false => pushed.dids(dids.iter().take(MOST_DIDS).map(Did::as_str))?,
        };
    }
    let kinds = Kind::ALL.into_iter();
    let kinds = kinds.filter(|&kind| filter.matches_kind(kind));
    let kinds: Vec<ClientKind> = kinds.filter_map(ClientKind::of).collect();
    // A filter that names no kind is for all of them, and so is the request.
    if kinds.len() == ClientKind::ALL.len() {
        return Ok(pushed);
    }
    Ok(pushed.kinds(kinds))
}

/// The labels that a filter asks are not told to hosts, and change all the time.
fn version_of_sets(filter: &Filter) -> u64 {
    filter.did_sets().iter().map(DidSet::version).sum()
}

/// The accounts that version 1 and version 2 take in a request.
const MOST_DIDS: usize = 10_000;
/// An account that cannot exist: `invalid` is never a domain (RFC 6761).
const NOBODY: &str = "did:web:nobody.invalid";
/// Changes are gathered for so long after hosts were told.
const GATHER: Duration = Duration::from_secs(5);
/// How often the sets are looked at.
const LOOK: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(filter: &ClientFilter, did: &str) -> bool {
        filter.matches(ClientKind::Account, did, None)
    }

    #[test]
    fn sets_are_pushed_down_while_they_are_small_and_none_of_them_is_everybody() {
        let set = DidSet::new();
        let filter = Filter::new().did_set(set.clone());
        let pushed = pushed_down(&filter).unwrap();
        assert!(!passes(&pushed, "did:web:a.example"));
        set.add("did:web:a.example").unwrap();
        let pushed = pushed_down(&filter).unwrap();
        assert!(passes(&pushed, "did:web:a.example"));
        assert!(!passes(&pushed, "did:web:b.example"));
        let named = filter.clone().dids(["did:web:b.example"]).unwrap();
        assert!(passes(&pushed_down(&named).unwrap(), "did:web:b.example"));
        let many = (0..MOST_DIDS).map(|number| format!("did:web:n{number}.example"));
        set.add_all(many).unwrap();
        let pushed = pushed_down(&filter).unwrap();
        assert!(pushed.is_empty(), "it is one too many");
        set.remove("did:web:a.example");
        assert!(!pushed_down(&filter).unwrap().is_empty());
        // A filter without accounts is for all of them.
        assert!(pushed_down(&Filter::new()).unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn changes_are_gathered() {
        let set = DidSet::new();
        let filter = watch::Sender::new(Filter::new().did_set(set.clone()));
        let mut pushed = PushedFilter::new(filter.subscribe());
        pushed.tell().unwrap();
        let begun = Instant::now();
        set.add("did:web:a.example").unwrap();
        set.add("did:web:b.example").unwrap();
        pushed.changed().await;
        assert!((5_000..5_200).contains(&begun.elapsed().as_millis()));
        pushed.tell().unwrap();
        // Later than that, one is noticed at once.
        sleep_until(Instant::now() + 2 * GATHER).await;
        let begun = Instant::now();
        let add = async {
            sleep_until(Instant::now() + Duration::from_secs(1)).await;
            set.remove("did:web:a.example");
        };
        tokio::join!(pushed.changed(), add);
        assert!((1_000..1_200).contains(&begun.elapsed().as_millis()));
        pushed.tell().unwrap();
        // Another filter is gathered as another set is.
        let begun = Instant::now();
        filter.send_replace(Filter::new());
        pushed.changed().await;
        assert_eq!(begun.elapsed(), GATHER);
        assert!(pushed.tell().unwrap().is_empty());
    }
}
