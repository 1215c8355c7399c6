use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;
use jetwash_event::Did;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::document::DidDocument;
use crate::error::ResolveError;
use crate::stats::{Count, Counters};

/// DID documents that the program has itself: a database, a mirror in the process, a simulator, a
/// test.
///
/// It is set with [`IdentityOptions::document_source`](crate::IdentityOptions::document_source), and
/// asked for every valid did:plc and did:web that neither memory nor the disk knows, before any
/// directory or host is. Only [`DocumentAnswer::NotMine`] leads to those. Its answers are kept and
/// grow old as all others do.
///
/// # Examples
///
/// ```
/// use std::collections::HashMap;
/// use std::io;
///
/// use futures_core::future::BoxFuture;
/// use jetwash_event::Did;
/// use jetwash_identity::{DocumentAnswer, DocumentSource, IdentityOptions};
///
/// /// The JSON of all documents there are.
/// struct Mirror(HashMap<Did, String>);
///
/// impl DocumentSource for Mirror {
///     fn document<'a>(&'a self, did: &'a Did) -> BoxFuture<'a, io::Result<DocumentAnswer>> {
///         let answer = match self.0.get(did) {
///             Some(json) => DocumentAnswer::Document(json.clone().into_bytes()),
///             None if did.method() == "plc" => DocumentAnswer::NotFound,
///             None => DocumentAnswer::NotMine,
///         };
///         Box::pin(async { Ok(answer) })
///     }
/// }
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// let did: Did = "did:plc:ewvi7nxzyoun6zhxrhs64oiz".parse()?;
/// let json = format!(r#"{{"id":"{did}","alsoKnownAs":["at://alice.test"]}}"#);
/// let mirror = Mirror(HashMap::from([(did.clone(), json)]));
/// let options = IdentityOptions::new().document_source(mirror).without_directories();
/// let document = options.start()?.resolve(&did).await?;
/// assert_eq!(document.claimed_handle().ok_or("no handle")?.as_ref(), "alice.test");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait DocumentSource: Send + Sync + 'static {
    /// Returns the document of a DID. Several DIDs are asked for at once. The answer is dropped when
    /// its time is over, and must not block the thread that polls it.
    ///
    /// # Errors
    ///
    /// When there is no answer now. The error is not kept: the next question about the DID asks
    /// again, and no directory or host is asked instead.
    fn document<'a>(&'a self, did: &'a Did) -> BoxFuture<'a, io::Result<DocumentAnswer>>;
}

/// The answer of a [`DocumentSource`].
///
/// # Examples
///
/// ```
/// use jetwash_identity::DocumentAnswer;
///
/// let json = br#"{"id":"did:web:pds.test"}"#;
/// let answer = DocumentAnswer::Document(json.to_vec());
/// assert_ne!(answer, DocumentAnswer::NotFound);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DocumentAnswer {
    /// The JSON of the document, in UTF-8. [`DidDocument::parse`] reads it, with its bounds.
    Document(Vec<u8>),
    /// There is no such DID, as if a directory had answered 404.
    NotFound,
    /// The DID is not for this source: the directories or its host are asked, as without one.
    NotMine,
}

/// A source within the bounds of look-ups.
pub(crate) struct BoundedSource {
    source: Arc<dyn DocumentSource>,
    /// How long it may take to answer.
    limit: Duration,
    counters: Arc<Counters>,
}

impl BoundedSource {
    pub(crate) fn new(
        source: Arc<dyn DocumentSource>,
        limit: Duration,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            source,
            limit,
            counters,
        }
    }

    /// `None` if the DID is not for this source.
    pub(crate) async fn ask(
        &self,
        did: &Did,
        permits: &Semaphore,
        deadline: Instant,
    ) -> Result<Option<DidDocument>, ResolveError> {
        let late = |_| failed("no answer in time");
        let permit = timeout_at(deadline, permits.acquire()).await;
        let _permit = permit.map_err(late)?;
        self.counters.count(Count::Sourced);
        let limit = Instant::now().checked_add(self.limit);
        let deadline = limit.map_or(deadline, |limit| limit.min(deadline));
        let answer = timeout_at(deadline, self.source.document(did)).await;
        let did = || did.clone();
        match answer.map_err(late)? {
            Ok(DocumentAnswer::Document(json)) => {
                let parsed = DidDocument::parse(&json, &did()).map(Some);
                parsed.map_err(|error| ResolveError::Document { did: did(), error })
            }
            Ok(DocumentAnswer::NotFound) => Err(ResolveError::NotFound { did: did() }),
            Ok(DocumentAnswer::NotMine) => Ok(None),
            Err(error) => Err(failed(&error.to_string())),
        }
    }
}

/// Cut short, since many who wait may each hold a copy of what they were sent.
fn failed(reason: &str) -> ResolveError {
    let reason: String = reason.chars().take(MAX_REASON).collect();
    ResolveError::Source {
        reason: reason.into(),
    }
}

const MAX_REASON: usize = 200;
