use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::connections::Connections;
use crate::counts::Counters;
use crate::options::FirehoseOptions;
use crate::source::FrameSource;

/// The state that the route and all readers share.
pub(crate) struct Shared {
    pub(crate) source: Box<dyn FrameSource>,
    pub(crate) options: FirehoseOptions,
    pub(crate) connections: Arc<Connections>,
    pub(crate) counters: Counters,
    /// Cancelled when the readers have to leave.
    pub(crate) closing: CancellationToken,
    /// The readers, to wait for.
    pub(crate) readers: TaskTracker,
}
