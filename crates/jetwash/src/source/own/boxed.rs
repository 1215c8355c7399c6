use std::error::Error;
use std::fmt;
use std::sync::Arc;

use futures_core::future::BoxFuture;

use crate::source::{Source, SourceHandle};

/// A source of any type. One box for a run, and none for a frame.
pub(crate) struct BoxedSource {
    name: Arc<str>,
    /// A name from a fixed list for counters and logs.
    kind: &'static str,
    is_upstream: bool,
    source: Box<dyn AnySource>,
}

/// The part of a [`Source`] that is called in the course of a run.
trait AnySource: Send {
    fn run_boxed(
        &mut self,
        handle: SourceHandle,
    ) -> BoxFuture<'_, Result<(), Box<dyn Error + Send + Sync>>>;
}

impl<S: Source> AnySource for S {
    fn run_boxed(
        &mut self,
        handle: SourceHandle,
    ) -> BoxFuture<'_, Result<(), Box<dyn Error + Send + Sync>>> {
        // The source's code runs with the first poll, and so does what panics in it.
        Box::pin(async move { self.run(handle).await })
    }
}

impl BoxedSource {
    pub(crate) fn new(kind: &'static str, source: impl Source) -> Self {
        Self {
            name: source.name().into(),
            kind,
            is_upstream: source.is_upstream(),
            source: Box::new(source),
        }
    }

    pub(crate) const fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(crate) const fn kind(&self) -> &'static str {
        self.kind
    }

    /// Whether its connection is one to report.
    pub(crate) const fn is_upstream(&self) -> bool {
        self.is_upstream
    }

    pub(super) fn run(
        &mut self,
        handle: SourceHandle,
    ) -> BoxFuture<'_, Result<(), Box<dyn Error + Send + Sync>>> {
        self.source.run_boxed(handle)
    }
}

impl fmt::Debug for BoxedSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxedSource")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}
