//! The configuration file, `--check`, and log lines.

use std::fs;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::{Program, SERVER, SIMULATED, prepare};

/// A folder with a configuration file.
struct Config {
    folder: TempDir,
}

impl Config {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("jetwash.toml"), text).unwrap();
        Self { folder }
    }

    fn option(&self) -> String {
        format!("--config={}", self.path())
    }

    fn path(&self) -> String {
        let path = self.folder.path().join("jetwash.toml");
        path.to_str().unwrap().to_owned()
    }

    /// Checks it together with these words and variables.
    fn check(&self, words: &[&str], variables: &[(&str, &str)]) -> Output {
        let mut command = Command::new(SERVER);
        prepare(&mut command).args(["serve", "--check"]).args(words);
        command.env("JETWASH_CONFIG", self.path());
        command.envs(variables.iter().copied());
        command.stdout(std::process::Stdio::piped());
        command.output().unwrap()
    }

    /// The words about a mistake.
    fn mistakes(&self, words: &[&str]) -> String {
        let output = self.check(words, &[]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    }
}

/// The value and the origin of a setting in the table of `--check`.
fn setting(output: &Output, key: &str) -> Option<(String, String)> {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let table = String::from_utf8(output.stdout.clone()).unwrap();
    let line = table
        .lines()
        .find(|line| line.split_whitespace().next() == Some(key))?;
    let rest = line.strip_prefix(key)?.trim();
    let (value, origin) = rest.split_once("  ")?;
    Some((value.trim().to_owned(), origin.trim().to_owned()))
}

#[test]
fn the_command_line_goes_before_the_environment_and_that_before_the_file() {
    let config = Config::new("event-ttl = \"5h\"\nrelay = [\"a.example\", \"b.example\"]\n");
    let from = |value: &str, origin: &str| Some((value.to_owned(), origin.to_owned()));
    let file = config.check(&[], &[]);
    assert_eq!(setting(&file, "event-ttl"), from("5h", "file"));
    assert_eq!(
        setting(&file, "relay"),
        from("a.example, b.example", "file")
    );
    let variable = [
        ("JETSTREAM_EVENT_TTL", "6h"),
        ("JETSTREAM_WS_URL", "c.example"),
    ];
    let environment = config.check(&[], &variable);
    assert_eq!(
        setting(&environment, "event-ttl"),
        from("6h", "environment")
    );
    assert_eq!(setting(&environment, "relay"), None);
    let line = config.check(&["--event-ttl=7h"], &variable);
    assert_eq!(setting(&line, "event-ttl"), from("7h", "command line"));
    let empty = config.check(
        &[],
        &[("JETSTREAM_EVENT_TTL", ""), ("JETSTREAM_WS_URL", "")],
    );
    assert_eq!(setting(&empty, "event-ttl"), from("5h", "file"));
    assert!(setting(&empty, "relay").is_some());
}

#[test]
fn a_server_runs_with_what_its_file_says() {
    let config =
        Config::new("sim = true\nsim-accounts = 10\nsim-records = 100\nevent-ttl = \"5h\"\n");
    for words in [&["serve"][..], &[]] {
        let mut command = Command::new(SERVER);
        command.args(words).arg(config.option());
        let mut program = Program::run(command, &[]);
        assert!(program.line("they are kept").contains("in memory for 5h"));
        let _ = program.url();
        assert!(program.stop().0);
    }
}

#[test]
fn what_excludes_a_setting_of_the_file_goes_before_it_too() {
    let config = Config::new("sim = true\nsim-rate = \"max\"\n");
    let output = config.check(&["--relay=a.example"], &[]);
    assert_eq!(setting(&output, "sim"), None, "{output:?}");
    // What belongs to a setting of the file may be on the command line, and without that it is told.
    let output = config.check(&["--sim-accounts=7"], &[]);
    let accounts = setting(&output, "sim-accounts").unwrap();
    assert_eq!(accounts, ("7".to_owned(), "command line".to_owned()));
    let said = Config::new("sim-rate = \"max\"\n").mistakes(&[]);
    assert!(said.contains("--sim"), "{said}");
}

#[test]
fn collections_are_a_list_or_have_commas_between_them_and_each_is_checked() {
    let named = Some(("a.b.c, x.y.*".to_owned(), "file".to_owned()));
    for text in ["\"a.b.c,x.y.*\"", "[\"a.b.c\", \"x.y.*\"]"] {
        let output = Config::new(&format!("collections = {text}\n")).check(&[], &[]);
        assert_eq!(setting(&output, "collections"), named, "{text}");
    }
    let said = Config::new("\ncollections = [\"a.b.c\", \"a..b\"]\n").mistakes(&[]);
    assert!(said.contains("jetwash.toml:2: collections = "), "{said}");
    assert!(said.contains("`a..b` is not a collection"), "{said}");
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_nearest_key() {
    let config = Config::new("# mine\nevent_ttl = \"5h\"\n\nzebra = 1\n[serve]\nlisten = \":1\"\n");
    let said = config.mistakes(&[]);
    let path = config.path();
    for line in [
        format!("{path}:2: there is no option `event_ttl`; the nearest is `event-ttl`\n"),
        format!("{path}:4: there is no option `zebra`\n"),
        format!("{path}:5: there is no section `serve`: all keys stand at the top level\n"),
    ] {
        assert!(said.contains(&line), "{said}");
    }
}

#[test]
fn a_wrong_value_is_named_with_its_key_and_line() {
    let text = "max-dids = \"many\"\nevent-ttl = 5\nsim = \"yes\"\nlisten = [\":1\", \":2\"]\nlog-format = \"xml\"\n";
    let config = Config::new(text);
    let said = config.mistakes(&[]);
    let path = config.path();
    for line in [
        format!("{path}:1: max-dids = \"many\": invalid digit found in string\n"),
        format!("{path}:2: event-ttl = 5: time unit needed"),
        format!("{path}:3: sim = \"yes\": it must be true or false\n"),
        format!("{path}:4: listen = [\":1\", \":2\"]: it must be a text or a number\n"),
        format!("{path}:5: log-format = \"xml\": it must be one of text, json\n"),
    ] {
        assert!(said.contains(&line), "{line}{said}");
    }
}

#[test]
fn a_file_that_is_no_toml_or_not_there_is_named() {
    let config = Config::new("sim = true\nlisten = \n");
    let said = config.mistakes(&[]);
    assert!(said.contains(&format!("{}:2: ", config.path())), "{said}");
    let said = config.mistakes(&["--config=not-there.toml"]);
    assert!(said.contains("not-there.toml: "), "{said}");
}

#[test]
fn settings_that_exclude_each_other_are_named_with_their_file() {
    let config = Config::new("sim = true\nrelay = \"a.example\"\n");
    let said = config.mistakes(&[]);
    assert!(
        said.contains(&format!("with the settings of {}: ", config.path())),
        "{said}"
    );
    assert!(
        said.contains("--relay <URL>") && said.contains("--sim"),
        "{said}"
    );
}

#[test]
fn a_check_names_every_file_and_address_that_cannot_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let dictionary = folder.path().join("bad.zdict");
    fs::write(&dictionary, "not a dictionary").unwrap();
    let config = Config::new(&format!(
        "dictionary = {dictionary:?}\nv2-dictionary = \"not-there.zdict\"\nrelay = \"ftp://a.example\"\n\
         data-dir = {:?}\n",
        folder.path().join("data"),
    ));
    let said = config.mistakes(&["--listen=127.0.0.1:7", "--metrics-listen=127.0.0.1:7"]);
    for text in [
        "bad.zdict",
        "not-there.zdict",
        "ftp://a.example",
        "127.0.0.1:7",
    ] {
        assert!(said.contains(text), "{text}: {said}");
    }
    assert!(!folder.path().join("data").exists());
}

#[test]
fn a_check_opens_no_log_and_listens_nowhere() {
    let mut program = Program::start(&[]);
    let url = program.url();
    let (_, address) = url
        .trim_end_matches("/subscribe")
        .split_once("://")
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let config = Config::new(&format!("listen = {address:?}\ndata-dir = {data:?}\n"));
    let output = config.check(&[], &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(!data.exists());
}

#[test]
fn log_lines_are_json_and_of_the_levels_that_are_asked_for() {
    let words = ["--log-format=json", "--log-level=warn,jetwash_server=info"];
    let mut program = Program::start_in(&words, &[("RUST_LOG", "off")]);
    let line = program.line("subscribe at");
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["level"], "INFO");
    assert!(
        line["message"]
            .as_str()
            .unwrap()
            .starts_with("subscribe at ws://")
    );
    let (ended, lines) = program.stop();
    assert!(ended);
    assert!(lines.iter().all(|line| line.starts_with('{')), "{lines:#?}");
    assert!(
        !lines
            .iter()
            .any(|line| line.contains("\"target\":\"jetwash::"))
    );

    let mut command = Command::new(SERVER);
    prepare(&mut command)
        .args(SIMULATED)
        .arg("--log-level=jetwash=loudly");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}
