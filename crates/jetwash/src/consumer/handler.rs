use std::error::Error;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use jetwash_event::{Account, Identity, RepoSync};
use jetwash_store::Gap;
use serde::de::DeserializeOwned;

use crate::read::Change;
use crate::read::Event;

/// Code that a consumer calls for each event.
///
/// Closures and `async fn`s of an [`Event`] are handlers, if they return `Result<(), E>` with any
/// error or a [`Failure`]. Your own types implement this trait, or [`TypedHandler`], and a
/// closure that blocks becomes a handler by [`blocking`].
///
/// An event may come again, after a failure or a restart: what a handler does has to bear that.
///
/// # Examples
///
/// ```
/// use jetwash::{Event, Failure, Handler};
///
/// struct Printer;
///
/// impl Handler for Printer {
///     async fn handle(&self, event: Event) -> Result<(), Failure> {
///         println!("{}", event.json());
///         Ok(())
///     }
/// }
///
/// async fn print(event: Event) -> Result<(), std::io::Error> {
///     println!("{}", event.json());
///     Ok(())
/// }
///
/// fn takes_any(handler: impl Handler) {}
/// takes_any(Printer);
/// takes_any(print);
/// takes_any(|event: Event| async move { Ok::<(), Failure>(println!("{}", event.json())) });
/// ```
pub trait Handler: Send + Sync + 'static {
    /// Handles one event. The next event of the same account comes when this is done; those of
    /// other accounts may come meanwhile.
    ///
    /// # Errors
    ///
    /// When it could not be handled. The [`Failure`] says what is to be done about it.
    fn handle(&self, event: Event) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Is told that events are missing, or may be. Does nothing unless it is written: gaps are
    /// logged, and counted in [`ConsumerStatus::gaps`](crate::ConsumerStatus::gaps), in any case.
    ///
    /// No event behind the gap is handled before this is done; those before it may still be.
    /// [`stuck_after`](crate::Consumer::stuck_after) is the longest that it is waited for. After a
    /// crash it may be told again.
    fn gap(&self, gap: Gap) -> impl Future<Output = ()> + Send {
        let _ = gap;
        async {}
    }
}

impl<F, R, E> Handler for F
where
    F: Fn(Event) -> R + Send + Sync + 'static,
    R: Future<Output = Result<(), E>> + Send,
    E: Into<Failure>,
{
    async fn handle(&self, event: Event) -> Result<(), Failure> {
        self(event).await.map_err(Into::into)
    }
}

/// A handler that is asked for each sort of change on its own, so that what is deleted or taken
/// down is not forgotten. [`typed`] makes a [`Handler`] of it.
///
/// # Examples
///
/// ```
/// use std::collections::BTreeMap;
/// use std::sync::Mutex;
/// use jetwash::event::Account;
/// use jetwash::{Event, Failure, TypedHandler, typed};
///
/// #[derive(serde::Deserialize)]
/// struct Post {
///     text: String,
/// }
///
/// #[derive(Default)]
/// struct Index(Mutex<BTreeMap<String, String>>);
///
/// impl TypedHandler for Index {
///     type Record = Post;
///
///     async fn put(&self, event: &Event, post: Post) -> Result<(), Failure> {
///         let uri = event.uri().unwrap_or_default();
///         self.0.lock().unwrap().insert(uri, post.text);
///         Ok(())
///     }
///
///     async fn delete(&self, event: &Event) -> Result<(), Failure> {
///         self.0.lock().unwrap().remove(&event.uri().unwrap_or_default());
///         Ok(())
///     }
///
///     async fn account(&self, event: &Event, account: Account) -> Result<(), Failure> {
///         if !account.active {
///             let prefix = format!("at://{}/", event.did());
///             self.0.lock().unwrap().retain(|uri, _| !uri.starts_with(&prefix));
///         }
///         Ok(())
///     }
/// }
///
/// let handler = typed(Index::default());
/// # let _ = handler;
/// ```
pub trait TypedHandler: Send + Sync + 'static {
    /// The type that records are parsed as. A record that does not fit goes to the dead letters at
    /// once, as it would not fit the next time either.
    type Record: DeserializeOwned + Send;

    /// A record is new, or replaces one of the same key.
    ///
    /// # Errors
    ///
    /// When it could not be handled.
    fn put(
        &self,
        event: &Event,
        record: Self::Record,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// A record is gone, or [no longer matches](Event::no_longer_matches) the consumer's filter by
    /// content: it must not be shown any more.
    ///
    /// # Errors
    ///
    /// When it could not be handled.
    fn delete(&self, event: &Event) -> impl Future<Output = Result<(), Failure>> + Send;

    /// An account's hosting status has changed. Unless it is active, nothing of it may be shown.
    ///
    /// # Errors
    ///
    /// When it could not be handled.
    fn account(
        &self,
        event: &Event,
        account: Account,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// An account's handle, keys or host may have changed: a program that keeps them looks them up
    /// again. Does nothing by default.
    ///
    /// # Errors
    ///
    /// When it could not be handled.
    fn identity(
        &self,
        event: &Event,
        identity: Identity,
    ) -> impl Future<Output = Result<(), Failure>> + Send {
        let _ = (event, identity);
        async { Ok(()) }
    }

    /// An account's repository is in a state that does not follow from its commits: a program that
    /// keeps records of the account fetches the repository anew. See [`Change::Sync`]. Does nothing
    /// by default.
    ///
    /// # Errors
    ///
    /// When it could not be handled.
    fn sync(
        &self,
        event: &Event,
        sync: RepoSync,
    ) -> impl Future<Output = Result<(), Failure>> + Send {
        let _ = (event, sync);
        async { Ok(()) }
    }

    /// Events are missing, or may be: see [`Handler::gap`]. Does nothing unless it is written.
    fn gap(&self, gap: Gap) -> impl Future<Output = ()> + Send {
        let _ = gap;
        async {}
    }
}

/// Makes a [`Handler`] of a [`TypedHandler`].
pub const fn typed<H: TypedHandler>(handler: H) -> Typed<H> {
    Typed(handler)
}

/// See [`typed`].
///
/// # Examples
///
/// ```
/// use jetwash::event::Account;
/// use jetwash::{Event, Failure, Typed, TypedHandler, typed};
///
/// struct Count;
///
/// impl TypedHandler for Count {
///     type Record = serde_json::Value;
///     // …
///     # async fn put(&self, _: &Event, _: Self::Record) -> Result<(), Failure> { Ok(()) }
///     # async fn delete(&self, _: &Event) -> Result<(), Failure> { Ok(()) }
///     # async fn account(&self, _: &Event, _: Account) -> Result<(), Failure> { Ok(()) }
/// }
///
/// let handler: Typed<Count> = typed(Count);
/// # let _ = handler;
/// ```
#[derive(Clone, Debug)]
pub struct Typed<H>(H);

impl<H: TypedHandler> Handler for Typed<H> {
    async fn handle(&self, event: Event) -> Result<(), Failure> {
        match event.change().map_err(Failure::dead_letter)? {
            Change::Create(commit) | Change::Update(commit) => {
                let record = commit.record().map_err(Failure::dead_letter)?;
                self.0.put(&event, record).await
            }
            Change::Delete(_) => self.0.delete(&event).await,
            Change::Account(account) => self.0.account(&event, account).await,
            Change::Identity(identity) => self.0.identity(&event, identity).await,
            Change::Sync(sync) => self.0.sync(&event, sync).await,
        }
    }

    async fn gap(&self, gap: Gap) {
        self.0.gap(gap).await;
    }
}

/// Makes a [`Handler`] of a closure that blocks: it is called on a thread where that is allowed.
///
/// # Examples
///
/// ```
/// use jetwash::{Event, blocking};
///
/// let handler = blocking(|event: Event| std::fs::write("last.json", event.json()));
/// # let _ = handler;
/// ```
pub fn blocking<F, E>(handler: F) -> Blocking<F>
where
    F: Fn(Event) -> Result<(), E> + Send + Sync + 'static,
    E: Into<Failure>,
{
    Blocking(Arc::new(handler))
}

/// See [`blocking`].
///
/// # Examples
///
/// ```
/// use jetwash::{Blocking, Event, Jetstream, blocking};
///
/// let handler: Blocking<_> = blocking(|event: Event| std::fs::write("last.json", event.json()));
/// let (jetstream, _ingest) = Jetstream::builder().build()?;
/// let consumer = jetstream.consumer("files");
/// # drop(
/// consumer.run(handler)
/// # );
/// # Ok::<(), jetwash::BuildError>(())
/// ```
pub struct Blocking<F>(Arc<F>);

impl<F, E> Handler for Blocking<F>
where
    F: Fn(Event) -> Result<(), E> + Send + Sync + 'static,
    E: Into<Failure> + 'static,
{
    async fn handle(&self, event: Event) -> Result<(), Failure> {
        let handler = Arc::clone(&self.0);
        let call = move || handler(event).map_err(Into::into);
        match tokio::task::spawn_blocking(call).await {
            Ok(outcome) => outcome,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(error) => Err(Failure::from(error)),
        }
    }
}

impl<F> fmt::Debug for Blocking<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Blocking")
    }
}

/// The reason why an event could not be handled, and how the consumer reacts.
///
/// `?` turns any error into one, and the event is then tried again. For this to be possible, a
/// `Failure` is not an [`Error`] itself.
///
/// # Examples
///
/// ```
/// use jetwash::{Event, Failure};
///
/// async fn handle(event: Event) -> Result<(), Failure> {
///     // Tried again, as the file may be there the next time.
///     let words = std::fs::read_to_string("words.txt")?;
///     // This will not get better.
///     let post: serde_json::Value = event.record().map_err(Failure::dead_letter)?;
///     if words.is_empty() {
///         return Err(Failure::stop("there is no word to look for"));
///     }
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct Failure {
    reaction: Reaction,
    error: Box<dyn Error + Send + Sync>,
}

impl Failure {
    /// The event is tried again, after a while and not for ever; then it is a dead letter.
    pub fn retry(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Reaction::Retry, error)
    }

    /// The event is passed over for good, with a warning.
    pub fn skip(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Reaction::Skip, error)
    }

    /// The event is put aside at once, for a person to look at.
    pub fn dead_letter(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Reaction::DeadLetter, error)
    }

    /// The consumer stops. The event comes again when it runs the next time.
    pub fn stop(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Reaction::Stop, error)
    }

    /// Returns how the consumer reacts.
    #[must_use]
    pub const fn reaction(&self) -> Reaction {
        self.reaction
    }

    /// Returns the error.
    #[must_use]
    pub fn error(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.error
    }

    /// Returns the error and its sources in one line.
    pub(crate) fn reason(&self) -> String {
        let mut reason = self.error.to_string();
        let mut source = self.error.source();
        while let Some(error) = source {
            let text = error.to_string();
            // Many errors repeat what they come from.
            if !reason.contains(&text) {
                reason = format!("{reason}: {text}");
            }
            source = error.source();
        }
        reason
    }

    fn new(reaction: Reaction, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            reaction,
            error: error.into(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::retry(error)
    }
}

/// The reaction to an event that could not be handled.
///
/// # Examples
///
/// ```
/// use jetwash::{Failure, Reaction};
///
/// let failure = Failure::skip("not a language that we know");
/// assert_eq!(failure.reaction(), Reaction::Skip);
/// // Any error is tried again.
/// let failure = Failure::from(std::fmt::Error);
/// assert_eq!(failure.reaction(), Reaction::Retry);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reaction {
    /// Try it again later.
    Retry,
    /// Pass over it for good.
    Skip,
    /// Put it aside.
    DeadLetter,
    /// Stop the consumer, and have it again at the next run.
    Stop,
}
