//! Answers of `/readyz`.

use std::fs::{self, File};
use std::io::Write;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use jetwash_sim::{Network, NetworkConfig, ScriptedRelay};

use crate::{PATIENCE, Program, SERVER, SIMULATED, ask, get};

#[tokio::test(flavor = "multi_thread")]
async fn the_server_is_ready_for_as_long_as_a_relay_is_heard() {
    let mut relay = ScriptedRelay::start().await.unwrap();
    let mut command = Command::new(SERVER);
    let folder = tempfile::tempdir().unwrap();
    command.args(["--relay", &relay.url(), "--data-dir"]);
    command.arg(folder.path());
    let mut program = Program::run(command, &[]);
    let metrics = program.metrics();
    let (head, body) = ask(&metrics, "/readyz");
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert!(body.starts_with("not ready: "), "{body}");
    assert_eq!(get(&metrics, "/healthz"), "ok\n");

    let mut connection = relay.accept().await.unwrap();
    let config = NetworkConfig {
        accounts: 5,
        records: 50,
        ..NetworkConfig::default()
    };
    let frames = Network::new(config).unwrap().take(5);
    let frames: Vec<_> = frames.map(|frame| frame.bytes).collect();
    connection.send(frames).await.unwrap();
    until(&metrics, "HTTP/1.1 200 ", "ready: events flow");

    drop(relay);
    connection.disconnect();
    until(&metrics, "HTTP/1.1 503 ", "not ready: ");
    assert_eq!(get(&metrics, "/healthz"), "ok\n");
}

#[cfg(target_os = "linux")]
#[test]
fn the_server_is_not_ready_while_its_disk_is_full() {
    let folder = tempfile::tempdir().unwrap();
    // A file system of its own, which nobody but the server sees, and which ends with it.
    let small = |program: &[&str]| {
        let mount = r#"mount -t tmpfs -o size=24m tmpfs "$0" && exec "$@""#;
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-c", mount]).arg(folder.path());
        command.args(program);
        command
    };
    if !small(&["true"])
        .status()
        .is_ok_and(|status| status.success())
    {
        println!("NOT RUN: no file system may be mounted here");
        return;
    }
    let mut command = small(&[SERVER]);
    command.args(SIMULATED).arg("--data-dir").arg(folder.path());
    let mut program = Program::run(command, &[]);
    let metrics = program.metrics();
    until(&metrics, "HTTP/1.1 200 ", "ready: events flow");

    let seen_from_here = format!("/proc/{}/root", program.child.id());
    let ballast = format!("{seen_from_here}{}/ballast", folder.path().display());
    // The log may find room again that it had set aside, so what is left is taken again.
    let mut filling = File::create(&ballast).unwrap();
    let full = || while filling.write_all(&[0; 4096]).is_ok() {};
    until_with(full, &metrics, "HTTP/1.1 503 ", "the log cannot be written");
    assert_eq!(get(&metrics, "/healthz"), "ok\n");

    fs::remove_file(&ballast).unwrap();
    drop(filling);
    until(&metrics, "HTTP/1.1 200 ", "ready: events flow");
    assert!(program.stop().0);
}

/// Asks until the answer is as it is to become.
fn until(address: &str, status: &str, text: &str) {
    until_with(|| {}, address, status, text);
}

fn until_with(mut before: impl FnMut(), address: &str, status: &str, text: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        before();
        let (head, body) = ask(address, "/readyz");
        if head.starts_with(status) && body.contains(text) {
            return;
        }
        assert!(Instant::now() < deadline, "{head}\n{body}");
        sleep(Duration::from_millis(10));
    }
}
