use jetwash::Dictionary;
use tokio::runtime;

use crate::commands::serve::arguments::Arguments;
use crate::commands::serve::set_up;
use crate::configuration::{InUse, Origin};
use crate::dictionary;
use crate::exit::{Ended, Outcome, UsageError};
use crate::listen::ListenAddress;
use crate::output::Table;

/// Checks the settings and the files that they name, and prints what is set.
///
/// Nothing is opened for writing, no address is listened on, and no connection is made.
pub(super) fn run(arguments: &Arguments, settings: &[InUse]) -> Ended {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mistakes = runtime.block_on(async { mistakes(arguments) });
    if !mistakes.is_empty() {
        return Err(UsageError(mistakes.join("\n")).into());
    }
    let mut table = Table::new(["setting", "value", "from"]);
    for InUse {
        key,
        values,
        origin,
    } in settings
    {
        if *origin != Origin::Default {
            table.row([key.clone(), values.join(", "), origin.to_string()]);
        }
    }
    table.print()?;
    Ok(Outcome::Well)
}

fn mistakes(arguments: &Arguments) -> Vec<String> {
    let mut mistakes = Vec::new();
    if let Some(name) = arguments.dictionary_file()
        && let Err(error) = dictionary::check(name, &arguments.dictionary_folder())
    {
        mistakes.push(format!("--dictionary: {error}"));
    }
    if let Some(path) = &arguments.v2_dictionary
        && let Err(error) = dictionary::read(path)
    {
        mistakes.push(format!("--v2-dictionary: {error}"));
    }
    if let Err(error) = set_up::accounts(arguments) {
        mistakes.push(error);
    }
    if let Some(address) = shared(arguments.listen, arguments.metrics_listen) {
        mistakes.push(format!(
            "--listen and --metrics-listen are both {address}: they need a port each"
        ));
    }
    if let Err(error) = build(arguments) {
        mistakes.push(error);
    }
    if let Some(builder) = arguments.labels_builder()
        && let Err(error) = builder.build()
    {
        mistakes.push(format!("--labeler: {error}"));
    }
    mistakes
}

/// The address, if both are the same.
fn shared(one: ListenAddress, two: ListenAddress) -> Option<ListenAddress> {
    let is_chosen = one.reachable().port() != 0;
    (one == two && is_chosen).then_some(one)
}

/// Makes all of it in memory, which checks what names relays, hosts and directories.
fn build(arguments: &Arguments) -> Result<(), String> {
    let network = arguments.network();
    let mut keys = arguments.keys(network.as_ref());
    // The file of identities is made when it is opened.
    keys.folder = None;
    let dictionary = Dictionary::builtin().map_err(|error| error.to_string())?;
    let builder = set_up::builder(arguments, &keys, dictionary);
    let built = builder.and_then(|builder| Ok(builder.build()?));
    built.map(drop).map_err(|error| error.to_string())
}
