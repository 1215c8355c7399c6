//! The frames of com.atproto.sync.subscribeRepos and the CAR slices inside them, borrowed.
