//! The cost of a frame to the whole process: another process sends many different frames over a
//! socket to a real ingest with a log on disk, and what each of its threads took is printed.
//!
//! ```text
//! cargo run --release -p jetwash-benches --bin process
//! cargo run --release -p jetwash-benches --bin process -- --real --turns 5
//! cargo run --release -p jetwash-benches --bin process -- --rate 2000 --frames 20000
//! cargo run --release -p jetwash-benches --bin process -- --against /path/to/another/process
//! ```
//!
//! This program makes and sends the frames. It receives them in a child of its own, or, in turns, in
//! one of another build, so that two builds are compared while the machine is the same.

#![allow(clippy::print_stdout, reason = "its output is its purpose")]

mod figures;
mod frames;
mod receive;
mod sender;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Parser;

use crate::figures::{Figures, print};
use crate::frames::Frames;
use crate::receive::{ReceiveArguments, receive};

/// Measures the processor time that a frame costs the whole process.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,

    /// How many different frames are sent in a turn
    #[arg(long, default_value_t = 100_000)]
    frames: usize,

    /// How many turns each build gets
    #[arg(long, default_value_t = 3)]
    turns: usize,

    /// Frames a second; as fast as they are taken by default
    #[arg(long)]
    rate: Option<f64>,

    /// Send the recorded frames, each time under later revisions, instead of simulated ones
    #[arg(long)]
    real: bool,

    /// Hash only the blocks that operations name
    #[arg(long)]
    trusted: bool,

    /// Keep the JSON alone, without a dictionary
    #[arg(long)]
    plain: bool,

    /// Keep the prepared frames in this file, for the next run
    #[arg(long)]
    keep: Option<PathBuf>,

    /// Another build of this program that receives in turns
    #[arg(long)]
    against: Vec<PathBuf>,
}

#[derive(Debug, clap::Subcommand)]
enum Role {
    /// The process that is measured
    #[command(hide = true)]
    Receive(ReceiveArguments),
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    if let Some(Role::Receive(arguments)) = arguments.role {
        return receive(&arguments);
    }
    let frames = Frames::load(arguments.frames, arguments.real, arguments.keep.as_deref())?;
    println!(
        "{} different {} frames of {} bytes in the mean, over a socket into a log on disk",
        frames.len(),
        if arguments.real {
            "recorded"
        } else {
            "simulated"
        },
        frames.mean()
    );
    let own = std::env::current_exe()?;
    let builds: Vec<&Path> = [own.as_path()]
        .into_iter()
        .chain(arguments.against.iter().map(PathBuf::as_path))
        .collect();
    let mut figures: Vec<Vec<Figures>> = builds.iter().map(|_| Vec::new()).collect();
    for _ in 0..arguments.turns {
        for (build, figures) in builds.iter().zip(&mut figures) {
            figures.push(turn(build, &frames, &arguments)?);
        }
    }
    for (build, figures) in builds.iter().zip(&figures) {
        println!("\n{}, medians of {} turns", build.display(), figures.len());
        print(figures, frames.len() as f64);
    }
    Ok(())
}

/// Sends all frames once to a process of `build`.
fn turn(build: &Path, frames: &Frames, arguments: &Arguments) -> Result<Figures, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let dictionary = folder.path().join("dictionary");
    fs::write(&dictionary, frames.dictionary())?;
    let (address, sending) = sender::start(frames.messages(), arguments.rate)?;
    let mut command = Command::new(build);
    command.arg("receive");
    command.args(["--relay", &format!("ws://{address}")]);
    command.args(["--last", &frames.last_seq().to_string()]);
    command.arg("--folder").arg(folder.path().join("log"));
    if !arguments.plain {
        command.arg("--dictionary").arg(&dictionary);
    }
    if arguments.trusted {
        command.arg("--trusted");
    }
    let output = command.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("the receiving process ended with {}", output.status).into());
    }
    let sent = sending.join();
    sent.map_err(|_| "the sending thread panicked")??;
    Ok(serde_json::from_slice(&output.stdout)?)
}
