//! The Jetstream websocket protocol as an axum [`Router`](axum::Router).
//!
//! Point any client of Jetstream at it: `/subscribe` is the wire of version 1, and
//! `/xrpc/network.bsky.jetstream.subscribeEvents` that of version 2. Each takes the same parameters,
//! answers mistakes in the same way and sends the same bytes as the official server. `/events` and
//! `/v2/events` have the same events over plain HTTP, as server-sent events or lines of JSON.
//! [`Server::serve`] runs it alone; [`Server::router`] is for mounting it in another application.
//!
//! A subscriber is a socket and a position in the log, never a queue: a slow subscriber reads older
//! events, from disk if necessary, and costs no memory. It is closed only when its socket takes
//! nothing at all or when it does not answer pings, and it is told why.
//!
//! # The parts
//!
//! - [`Server`] has the routes, those to subscribe and the zstd dictionaries, and the subscribers. It
//!   is a handle, and reports to the `metrics` facade.
//! - [`ServeOptions`] limits subscribers: their filters, connections and events by address, delays
//!   and timeouts.
//! - [`serve_http`] serves any axum router within [`HttpLimits`], and [`raise_file_limit`] makes
//!   room for connections.
//! - [`StatusPage`] shows how it all does in a browser, within [`StatusPageOptions`].
//!
//! `docs/wire.md` of the repository describes the wire: parameters, refusals, events as JSON, zstd
//! and binary, the messages that clients send, and why a socket is closed.
//!
//! # Examples
//!
//! A server, a few frames, and a client that reads them from the start:
//!
//! ```
//! use futures_util::StreamExt;
//! use jetwash::Jetstream;
//! use jetwash_serve::{ServeOptions, Server};
//! use jetwash_sim::{Network, NetworkConfig};
//! use tokio::net::TcpListener;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (jetstream, ingest) = Jetstream::builder().build()?;
//! tokio::spawn(ingest.run(std::future::pending()));
//! let server = Server::new(jetstream.clone(), ServeOptions::default());
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let url = format!("ws://{}/subscribe?cursor=1", listener.local_addr()?);
//! tokio::spawn(server.clone().serve(listener, std::future::pending()));
//!
//! let config = NetworkConfig { accounts: 5, records: 50, ..NetworkConfig::default() };
//! for frame in Network::new(config)?.take(20) {
//!     jetstream.pusher("by hand").push(frame.bytes).await?;
//! }
//! let (mut client, _) = tokio_tungstenite::connect_async(url).await?;
//! let event = client.next().await.unwrap()?;
//! assert!(event.to_text()?.starts_with(r#"{"did":"did:plc:"#));
//! server.close(std::time::Duration::ZERO).await;
//! # Ok(())
//! # }
//! ```

mod events;
mod form;
#[doc(hidden)]
pub mod fuzzing;
mod http;
mod memory;
mod metrics;
mod options;
mod page;
mod server;
mod subscriber;
mod supervise;
mod tail;
mod websocket;

pub use http::files::raise_file_limit;
pub use http::limits::HttpLimits;
pub use http::serving::serve_http;
pub use options::ServeOptions;
pub use page::options::StatusPageOptions;
pub use page::status_page::StatusPage;
pub use server::Server;
