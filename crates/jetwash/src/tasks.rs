use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::{self, JoinError, JoinSet};
use tracing::error;

use crate::panic::Panic;
use crate::stats::Stats;

/// The first task that panicked, for the run to tell at its end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Died(Arc<Mutex<Option<Death>>>);

/// The panic that ended a task.
#[derive(Debug)]
pub(crate) struct Death {
    pub(crate) task: &'static str,
    pub(crate) name: String,
    pub(crate) message: String,
}

impl Died {
    pub(crate) fn note(&self, task: &'static str, name: String, panic: &Panic) {
        let message = panic.to_string();
        let mut died = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        died.get_or_insert(Death {
            task,
            name,
            message,
        });
    }

    fn take(&self) -> Option<Death> {
        let mut died = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        died.take()
    }
}

/// The tasks of a run, each of whose ends is looked at.
pub(crate) struct Tasks {
    set: JoinSet<()>,
    names: HashMap<task::Id, (&'static str, String)>,
    stats: Arc<Stats>,
    died: Died,
}

impl Tasks {
    pub(crate) fn new(stats: Arc<Stats>) -> Self {
        Self {
            set: JoinSet::new(),
            names: HashMap::new(),
            stats,
            died: Died::default(),
        }
    }

    pub(crate) fn spawn(
        &mut self,
        kind: &'static str,
        name: impl Into<String>,
        run: impl Future<Output = ()> + Send + 'static,
    ) {
        let task = self.set.spawn(run);
        self.names.insert(task.id(), (kind, name.into()));
    }

    /// Waits until one of them ends; waits for ever if no task is left.
    pub(crate) async fn ended(&mut self) {
        match self.set.join_next_with_id().await {
            Some(ended) => self.note(ended),
            None => std::future::pending().await,
        }
    }

    /// The place where tasks that continue after a panic note it.
    pub(crate) fn died(&self) -> Died {
        self.died.clone()
    }

    fn note(&mut self, ended: Result<(task::Id, ()), JoinError>) {
        let id = match &ended {
            Ok((id, ())) => *id,
            Err(error) => error.id(),
        };
        let Some((task, name)) = self.names.remove(&id) else {
            return;
        };
        let Some(payload) = ended.err().and_then(|error| error.try_into_panic().ok()) else {
            return;
        };
        let panic = Panic::new(&*payload);
        self.stats.panicked(task, &panic);
        error!(task, name, %panic, "a task has died; the others go on");
        self.died.note(task, name, &panic);
    }

    /// Ends all; returns why the first of them died, if any did.
    pub(crate) async fn shutdown(mut self) -> Option<Death> {
        self.set.abort_all();
        while let Some(ended) = self.set.join_next_with_id().await {
            self.note(ended);
        }
        self.died.take()
    }
}
