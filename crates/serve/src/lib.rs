//! The Jetstream websocket protocol as an axum [`Router`](axum::Router).
//!
//! Point any client of Jetstream version 1 at it: `/subscribe` takes the same parameters, answers
//! mistakes in the same words and sends the same bytes. Whoever embeds mounts
//! [`Server::router`] in an application of their own; whoever does not calls [`Server::serve`].
//!
//! A subscriber is a socket and a position in the log, never a queue: one that is slow reads older
//! events, from disk if need be, and costs no memory. It is closed only when the log has moved on
//! past its position, when its socket takes nothing at all, or when it does not answer pings; and
//! it is told why.
//!
//! The wire is described in `docs/wire.md`.

mod batch;
mod connection;
mod dictionaries;
mod encoding;
mod end;
mod inbound;
mod limits;
mod live;
mod metrics;
mod options;
mod outbound;
mod query;
mod recoded;
mod server;
mod settings;
mod shard;
mod update;
mod websocket;

pub use options::ServeOptions;
pub use server::Server;
