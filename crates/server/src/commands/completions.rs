use clap::Args;
use clap_complete::Shell;

use crate::exit::{Ended, Outcome};
use crate::output;

/// Print completions of commands and options for a shell
///
/// With bash, for example: `source <(jetwash-server completions bash)`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Prints the script that completes the words of `command`.
pub(crate) fn run(arguments: &Arguments, mut command: clap::Command) -> Ended {
    let name = command.get_name().to_owned();
    // A pipe that is closed is not expected by the generator.
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, name, &mut script);
    output::print(&script)?;
    Ok(Outcome::Well)
}
