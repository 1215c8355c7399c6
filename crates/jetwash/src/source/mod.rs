//! Where events come from: relays, Jetstreams, a simulated network, and streams that the caller
//! supplies.
//!
//! - `options` and `relay_option_error`: the caller's settings for relays, checked before any
//!   socket is opened.
//! - `endpoint`: the address of a relay.
//! - `own`: the trait that all of them implement, and how they are run.
//! - `follow` and `relay`: a relay as a source: connect, read, wait and connect again.
//! - `dial`: opens a websocket, directly or through a proxy (`proxy`, `socks`). Redirects are followed
//!   as `way` allows.
//! - `outbox`: hands frames over to the pipeline, those that were read together at once.
//! - `steps`, `liveness`, `pulse` and `state`: judge how a connection does, and tell it to the caller.
//! - `error`: why a connection ended.
//! - `jetstream`: follows another Jetstream.
//! - `mirror`: follows another jetwash whose log is taken over as it is.
//! - `labeler`: follows a labeler, whose labels go into an index, and into a log of labels if asked.
//! - `frame_stream` and `pusher`: frames that the caller supplies.
//! - `simulator`: a network in the process, with the feature of that name.

mod dial;
mod endpoint;
mod error;
mod follow;
mod frame_stream;
mod jetstream;
mod labeler;
mod liveness;
mod mirror;
mod options;
mod outbox;
mod own;
mod proxy;
mod pulse;
mod pusher;
mod relay;
mod relay_option_error;
#[cfg(feature = "simulator")]
mod simulator;
mod socks;
mod state;
mod steps;
mod way;

pub use endpoint::{Endpoint, EndpointError};
pub(crate) use follow::{RelaySource, Relays};
pub(crate) use frame_stream::FrameStream;
pub use jetstream::JetstreamOptions;
pub(crate) use jetstream::{JetstreamFeed, JetstreamMistake, JetstreamSource, Jetstreams};
pub(crate) use labeler::{IndexFeed, LabelerAddress, Labelers, PreparedLabelers};
pub use mirror::MirrorAddressError;
pub(crate) use mirror::{MirrorFeed, MirrorSource};
pub(crate) use options::Prepared;
pub use options::RelayOptions;
pub(crate) use own::{BoxedSource, SourceParts, supervise};
pub use own::{Source, SourceHandle};
pub use pusher::Pusher;
pub(crate) use relay::Relay;
pub use relay_option_error::RelayOptionError;
#[cfg(feature = "simulator")]
pub use simulator::{SIMULATOR, simulator_identities};
pub use state::{NotReady, Upstream, UpstreamState};
pub(crate) use state::{Watch, describe, publish};
