//! The commands beside `serve`, and the exit codes of all.

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

use crate::{PATIENCE, Program, SERVER, SIMULATED, command, prepare};

#[test]
fn serve_is_the_command_without_a_name() {
    let mut long = Command::new(SERVER);
    long.arg("serve").args(SIMULATED);
    let mut long = Program::run(long, &[("JETSTREAM_EVENT_TTL", "7h")]);
    assert!(long.line("they are kept").contains("for 7h"));
    let mut short = Program::start_in(&[], &[("JETSTREAM_EVENT_TTL", "7h")]);
    assert!(short.line("they are kept").contains("for 7h"));
    assert!(long.stop().0 && short.stop().0);
}

#[test]
fn a_wrong_use_ends_with_2_and_a_failure_with_1() {
    for wrong in [
        &["--no-such-option"][..],
        &["serve", "--listen=nowhere"],
        &["no-such-command"],
        &["--sim", "health"],
        &["completions", "no-such-shell"],
    ] {
        assert_eq!(command(wrong).status.code(), Some(2), "{wrong:?}");
    }
    let output = command(&["--sim", "--dictionary=not-there"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(says(&output).contains("not-there"), "{}", says(&output));
}

#[test]
fn a_variable_of_serve_does_not_concern_other_commands() {
    let output = |arguments: &[&str]| {
        let mut command = Command::new(SERVER);
        prepare(&mut command).args(arguments);
        command.env("JETSTREAM_EVENT_TTL", "for ever").output()
    };
    assert_eq!(output(&["--sim"]).unwrap().status.code(), Some(2));
    let completions = output(&["completions", "bash"]).unwrap();
    assert_eq!(completions.status.code(), Some(0));
}

#[test]
fn help_names_the_commands_and_the_exit_codes() {
    let output = command(&["--help"]);
    let help = String::from_utf8(output.stdout).unwrap();
    for text in [
        "serve",
        "tail",
        "health",
        "completions",
        "Exit codes:",
        "--relay <URL>",
    ] {
        assert!(help.contains(text), "{text}: {help}");
    }
    let help = command(&["tail", "--help"]).stdout;
    assert!(String::from_utf8(help).unwrap().contains("Exit codes:"));
}

#[test]
fn completions_name_commands_and_options() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = command(&["completions", shell]);
        assert!(output.status.success());
        let script = String::from_utf8(output.stdout).unwrap();
        for word in ["completions", "event-ttl", "tail"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
}

#[test]
fn what_reads_no_more_ends_a_command_quietly() {
    let mut program = Program::start(&[]);
    let url = program.url();
    let mut tail = Command::new(SERVER);
    tail.args(["tail", &url, "--cursor=0"]);
    tail.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut tail = tail.spawn().unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with('{'));
    drop(lines);
    let output = tail.wait_with_output().unwrap();
    assert_eq!(
        (output.status.code(), says(&output)),
        (Some(0), String::new())
    );
}

#[test]
fn health_is_what_the_server_answers() {
    let mut program = Program::start(&[]);
    let address = program.metrics();
    let healthy = |more: &[&str]| {
        let address = format!("--address={address}");
        command(&[&["health", &address][..], more].concat())
    };
    let output = healthy(&[]);
    assert_eq!(
        (output.status.code(), &*output.stdout),
        (Some(0), &b"ok\n"[..])
    );
    let deadline = std::time::Instant::now() + PATIENCE;
    while healthy(&["--ready"]).status.code() != Some(0) {
        assert!(std::time::Instant::now() < deadline);
    }
    let output = healthy(&["--ready", "--json"]);
    let json = String::from_utf8(output.stdout).unwrap();
    assert_eq!(json, "{\"status\":200,\"text\":\"ready: events flow\"}\n");

    assert!(program.stop().0);
    let output = healthy(&[]);
    assert_eq!(output.status.code(), Some(1));
    let said = says(&output);
    assert!(
        said.contains(&format!("http://{address}/healthz: ")),
        "{said}"
    );
}

#[test]
fn health_asks_where_the_server_of_the_same_environment_listens() {
    let mut program = Program::start_in(&[], &[("JETSTREAM_METRICS_LISTEN_ADDR", ":0")]);
    let address = program.metrics();
    let (_, port) = address.rsplit_once(':').unwrap();
    let mut health = Command::new(SERVER);
    let output = health
        .arg("health")
        .env("JETSTREAM_METRICS_LISTEN_ADDR", format!(":{port}"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", says(&output));
}

#[test]
fn a_server_that_is_not_ready_is_named_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let mut serve = Command::new(SERVER);
    serve.args(["serve", "--relay=ws://127.0.0.1:9", "--data-dir"]);
    serve.arg(folder.path());
    let mut program = Program::run(serve, &[]);
    let address = format!("--address={}", program.metrics());
    assert_eq!(command(&["health", &address]).status.code(), Some(0));
    let output = command(&["health", &address, "--ready"]);
    assert_eq!(output.status.code(), Some(1));
    let said = says(&output);
    assert!(said.contains("/readyz answers 503: not ready: "), "{said}");
}

fn says(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
