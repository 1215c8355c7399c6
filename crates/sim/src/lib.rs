//! An AT Protocol network in a box: signed repos, real frames, and a relay on loopback.
