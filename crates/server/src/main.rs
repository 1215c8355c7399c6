//! A Jetstream server, and the commands that go with it.
//!
//! - `commands`: a module for each command.
//! - `configuration`: the file of settings.
//! - `address`, `dictionary`, `disk_sync`, `exit`, `listen`, `log_folder`, `logging`, `output`, `progress`, `values`:
//!   what they share.

mod address;
mod commands;
mod configuration;
mod dictionary;
mod disk_sync;
mod exit;
mod listen;
mod log_folder;
mod logging;
mod output;
mod progress;
mod values;

use std::process::ExitCode;

fn main() -> ExitCode {
    exit::code(commands::run())
}
