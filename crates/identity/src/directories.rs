//! The directories of did:plc, mirrors of each other.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jetwash_event::Did;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};
use url::{Host, Url};

use crate::document::DidDocument;
use crate::error::ResolveError;
use crate::hosts::{Budget, HostState, Refusal, name_of};
use crate::net::{Answer, Ask, Fetcher, is_private_address};
use crate::random::Random;

/// Directories in the order in which they are preferred.
pub(crate) struct Directories {
    list: Vec<Directory>,
    budget: Budget,
    random: Random,
    allow_private: bool,
}

struct Directory {
    url: Url,
    name: Arc<str>,
    /// Whether the operator named this machine or a private network.
    is_private: bool,
    state: Mutex<HostState>,
}

/// Which directory to ask, and after how long.
struct Choice<'a> {
    index: usize,
    directory: &'a Directory,
    wait: std::time::Duration,
}

impl Directories {
    pub(crate) fn new(urls: Vec<Url>, budget: Budget, random: Random, allow_private: bool) -> Self {
        let directory = |url: Url| Directory {
            name: name_of(&url).into(),
            is_private: names_private(&url),
            url,
            state: Mutex::default(),
        };
        Self {
            list: urls.into_iter().map(directory).collect(),
            budget,
            random,
            allow_private,
        }
    }

    /// Asks the directories one after the other until one answers. A 404 is an answer: mirrors are
    /// believed as much as the first.
    pub(crate) async fn look_up(
        &self,
        did: &Did,
        fetcher: &Fetcher,
        permits: &Semaphore,
        deadline: Instant,
    ) -> Result<DidDocument, ResolveError> {
        if self.list.is_empty() {
            return Err(ResolveError::NoDirectory { did: did.clone() });
        }
        let mut tried = Vec::new();
        let mut last = None;
        loop {
            let choice = match self.choose(&tried, deadline) {
                Ok(choice) => choice,
                Err(error) => return Err(last.unwrap_or(error)),
            };
            tried.push(choice.index);
            sleep(choice.wait).await;
            let asked = {
                let _permit = permits.acquire().await;
                choice.directory.ask(did, fetcher, self).await
            };
            match asked {
                // Another mirror may do better.
                Err(error @ (ResolveError::Host { .. } | ResolveError::Document { .. })) => {
                    last = Some(error);
                }
                answer => return answer,
            }
        }
    }

    /// The name of the directory that is preferred.
    pub(crate) fn first_name(&self) -> Arc<str> {
        let first = self.list.first();
        first.map_or_else(|| Arc::from(""), |directory| Arc::clone(&directory.name))
    }

    /// The first directory that may be asked at once, or else the one that may be soonest.
    fn choose(&self, tried: &[usize], deadline: Instant) -> Result<Choice<'_>, ResolveError> {
        let now = Instant::now();
        let untried = || {
            let all = self.list.iter().enumerate();
            all.filter(|(index, _)| !tried.contains(index))
        };
        let waits = untried().map(|(index, directory)| {
            let refusal = directory.lock().wait(self.budget, now);
            (index, directory, refusal)
        });
        let soonest = waits.min_by_key(|(_, _, refusal)| refusal.wait());
        let Some((index, directory, _)) = soonest else {
            // All were asked, so that the error of the last is returned instead.
            return Err(ResolveError::Ended);
        };
        let longest = deadline.saturating_duration_since(now);
        let admitted = directory.lock().admit(self.budget, now, longest);
        match admitted {
            Ok(wait) => Ok(Choice {
                index,
                directory,
                wait,
            }),
            Err(refusal) => Err(refused(refusal, Arc::clone(&directory.name))),
        }
    }
}

impl Directory {
    async fn ask(
        &self,
        did: &Did,
        fetcher: &Fetcher,
        all: &Directories,
    ) -> Result<DidDocument, ResolveError> {
        let mut url = self.url.clone();
        let path = format!("{}/{did}", url.path().trim_end_matches('/'));
        url.set_path(&path);
        let ask = Ask {
            accept: "application/did+ld+json, application/json",
            max_bytes: DidDocument::MAX_BYTES,
            may_be_private: self.is_private || all.allow_private,
            others_may_be_private: all.allow_private,
        };
        match fetcher.get(&url, ask).await {
            Ok(answer) => {
                self.lock().answered();
                document_in(answer, did)
            }
            Err(failure) => {
                let now = Instant::now();
                self.lock().failed(now, failure.retry_after, &all.random);
                Err(ResolveError::Host {
                    host: Arc::clone(&self.name),
                    error: failure.error,
                })
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HostState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the answer to a question about a DID.
pub(crate) fn document_in(answer: Answer, did: &Did) -> Result<DidDocument, ResolveError> {
    let did = || did.clone();
    match answer.status.as_u16() {
        404 => Err(ResolveError::NotFound { did: did() }),
        410 => Err(ResolveError::Tombstoned { did: did() }),
        _ => {
            let parsed = DidDocument::parse(&answer.body, &did());
            parsed.map_err(|error| ResolveError::Document { did: did(), error })
        }
    }
}

pub(crate) fn refused(refusal: Refusal, host: Arc<str>) -> ResolveError {
    match refusal {
        Refusal::Budget(retry_after) => ResolveError::Budget { host, retry_after },
        Refusal::Resting(retry_after) => ResolveError::Resting { host, retry_after },
    }
}

fn names_private(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => is_private_address(address.into()),
        Some(Host::Ipv6(address)) => is_private_address(address.into()),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}
