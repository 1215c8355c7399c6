//! What a Jetstream reader gets: identifiers, events, their JSON and filters over them.
