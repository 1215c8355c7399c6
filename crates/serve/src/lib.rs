//! The Jetstream websocket protocol as an axum Router.
