//! Verification: its options, and what comes of them.

use std::net::TcpListener as StdListener;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use jetwash_sim::{Network, NetworkConfig, RelayConfig, ScriptedRelay, SimEvent, serve};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_tungstenite::connect_async;

use crate::{PATIENCE, Program, SERVER, get, refused};

#[test]
fn a_policy_that_there_is_not_is_refused_with_the_names_of_the_four() {
    let said = refused(&["--verify=loose"]);
    assert!(said.contains("--verify"), "{said}");
    assert!(
        said.contains("off, structure, lenient and strict"),
        "{said}"
    );
}

#[test]
fn an_export_that_nobody_would_read_is_refused_with_the_reason() {
    for (arguments, reason) in [
        (
            &["--verify=off"][..],
            "no keys are looked up with --verify off",
        ),
        (
            &["--verify=structure"],
            "no keys are looked up with --verify structure",
        ),
        (&[], "keys come from the simulated network"),
        (&["--plc-url=http://127.0.0.1:1"], "without a cache on disk"),
    ] {
        let arguments: Vec<_> = ["--plc-export"].iter().chain(arguments).copied().collect();
        let said = refused(&arguments);
        assert!(
            said.contains("--plc-export: ") && said.contains(reason),
            "{said}"
        );
    }
    let said = refused(&["--plc-url=ftp://plc.test"]);
    assert!(
        said.contains("--plc-url: ") && said.contains("ftp://plc.test"),
        "{said}"
    );
}

#[test]
fn a_directory_without_an_export_is_counted_and_keeps_nobody_from_stopping() {
    let folder = tempfile::tempdir().unwrap();
    let (plc, data) = (nobody(), folder.path().to_str().unwrap());
    let mut program = Program::start(&["--plc-export", "--plc-url", &plc, "--data-dir", data]);
    let failures = "jetwash_identity_export_failures_total ";
    until(&program.metrics(), |text| {
        value(text, failures) >= Some(1.0)
    });
    let (ended, lines) = program.stop();
    assert!(ended, "{lines:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_simulated_network_is_verified_unless_told_otherwise() {
    let mut program = Program::start(&[]);
    let line = program.line("commits are verified");
    assert!(line.contains("--verify lenient"), "{line}");
    assert!(line.contains("the simulated network"), "{line}");
    let verdicts = verdicts(&program.url(), 200).await;
    assert!(
        verdicts.iter().all(|verdict| verdict == "verified"),
        "{verdicts:?}"
    );
    let text = get(&program.metrics(), "/metrics");
    let verified = value(&text, r#"jetwash_verdicts_total{verdict="verified","#);
    assert!(verified.unwrap() >= 100.0, "{text}");
    assert!(value(&text, "jetwash_identity_sourced_total ").unwrap() >= 5.0);
    assert!(value(&text, "jetwash_identity_entries ").unwrap() >= 5.0);
    // Nothing outside this process was asked.
    assert_eq!(value(&text, "jetwash_identity_requests_total "), Some(0.0));
    assert_eq!(value(&text, "jetwash_held_frames "), Some(0.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_verified_where_that_is_asked_for() {
    let mut program = Program::start_in(&[], &[("JETSTREAM_VERIFY", "off")]);
    program.line("commits are not verified (--verify off)");
    let verdicts = verdicts(&program.url(), 50).await;
    assert!(
        verdicts.iter().all(|verdict| verdict == "unverified"),
        "{verdicts:?}"
    );
    let text = get(&program.metrics(), "/metrics");
    assert!(!text.contains("jetwash_verdicts_total") && !text.contains("jetwash_identity"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_directory_that_answers_lenient_delivers_and_strict_does_not() {
    let nobody = format!("--plc-url={}", nobody());
    let mut program = Program::start(&[&nobody]);
    let verdicts = verdicts(&program.url(), 50).await;
    assert!(
        verdicts.iter().all(|verdict| verdict == "unresolved"),
        "{verdicts:?}"
    );

    let mut program = Program::start(&[&nobody, "--verify=strict"]);
    let metrics = program.metrics();
    let dropped = r#"jetwash_dropped_total{reason="unresolved"}"#;
    let text = until(&metrics, |text| value(text, dropped) >= Some(50.0));
    let connect = r#"jetwash_identity_errors_total{kind="connect"}"#;
    assert!(value(&text, connect) >= Some(1.0), "{text}");
    // Of accounts and identities nobody says more than the relay.
    assert_eq!(value(&text, "consumer_ops_processed_total"), None, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_come_from_the_directory_that_answers_and_are_kept_on_disk() {
    let (address, network) = serve_network().await;
    let folder = tempfile::tempdir().unwrap();
    // The relay of the simulator is a directory too.
    let urls = format!("{},http://{address}", nobody());
    let mut program = follow(&format!("ws://{address}"), folder.path(), &urls);
    let line = program.line("commits are verified");
    assert!(line.contains(&format!(" and http://{address}, ")), "{line}");
    let verdicts = verdicts(&program.url(), 100).await;
    assert!(
        verdicts.iter().all(|verdict| verdict == "verified"),
        "{verdicts:?}"
    );
    let text = get(&program.metrics(), "/metrics");
    assert!(
        value(&text, "jetwash_identity_requests_total ") >= Some(2.0),
        "{text}"
    );
    assert!(program.stop().0);
    assert!(folder.path().join("identities").is_file());

    let mut program = follow(&format!("ws://{address}"), folder.path(), &nobody());
    let metrics = program.metrics();
    let verified = r#"jetwash_verdicts_total{verdict="verified","#;
    let text = until(&metrics, |text| value(text, verified) >= Some(1.0));
    assert!(
        value(&text, "jetwash_identity_disk_hits_total ") >= Some(1.0),
        "{text}"
    );
    network.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_lacks_a_commit_is_counted_and_told() {
    let (directory, network) = serve_network().await;
    let mut relay = ScriptedRelay::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let url = format!("http://{directory}");
    let mut program = follow(&relay.url(), folder.path(), &url);
    let mut connection = relay.accept().await.unwrap();
    let mut frames: Vec<_> = Network::new(config()).unwrap().take(100).collect();
    // The second commit of an account that has three.
    let commits = |did: &str| -> Vec<usize> {
        let all = frames.iter().enumerate();
        let is_theirs = |frame: &jetwash_sim::SimFrame| {
            &*frame.did == did && matches!(frame.event, SimEvent::Commit(_))
        };
        all.filter(|(_, frame)| is_theirs(frame))
            .map(|(index, _)| index)
            .collect()
    };
    let (did, missing) = frames
        .iter()
        .map(|frame| (frame.did.clone(), commits(&frame.did)))
        .find(|(_, commits)| commits.len() >= 3)
        .unwrap();
    frames.remove(missing[1]);
    let frames: Vec<_> = frames.into_iter().map(|frame| frame.bytes).collect();
    connection.send(frames).await.unwrap();

    let line = program.line("commits of a repository are missing");
    assert!(line.contains(&*did) && line.contains(" INFO "), "{line}");
    let shown = r#"jetwash_resyncs_total{shown_by="commit"}"#;
    let text = until(&program.metrics(), |text| value(text, shown).is_some());
    assert_eq!(value(&text, shown), Some(1.0));
    let verdict = r#"jetwash_verdicts_total{verdict="discontinuous","#;
    assert_eq!(value(&text, verdict), Some(1.0), "{text}");
    network.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_frames_are_verified_only_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("frames");
    let mut recorded = Vec::new();
    for frame in Network::new(config()).unwrap().take(100) {
        recorded.extend((frame.bytes.len() as u32).to_le_bytes());
        recorded.extend(&frame.bytes);
    }
    std::fs::write(&file, recorded).unwrap();
    for (arguments, wanted) in [
        (&[][..], "unverified"),
        // No signature is checked.
        (&["--verify=structure"], "unresolved"),
    ] {
        let mut command = Command::new(SERVER);
        command.arg("--replay").arg(&file).args(arguments);
        let mut program = Program::run(command, &[]);
        let verdicts = verdicts(&program.url(), 50).await;
        assert!(
            verdicts.iter().all(|verdict| verdict == wanted),
            "{verdicts:?}"
        );
    }
}

/// The verdicts of the first commits in the log.
async fn verdicts(url: &str, commits: usize) -> Vec<String> {
    let read = async {
        let url = format!("{url}?cursor=0&verdict=true");
        let (mut socket, _) = connect_async(url).await.unwrap();
        let mut verdicts = Vec::new();
        while verdicts.len() < commits {
            let message = socket.next().await.unwrap().unwrap();
            let Ok(line) = message.into_text() else {
                continue;
            };
            if line.contains(r#""kind":"commit""#) {
                let (_, verdict) = line.rsplit_once(r#","verdict":""#).unwrap();
                verdicts.push(verdict.strip_suffix(r#""}"#).unwrap().to_owned());
            }
        }
        verdicts
    };
    timeout(PATIENCE, read).await.unwrap()
}

fn config() -> NetworkConfig {
    NetworkConfig {
        accounts: 5,
        records: 50,
        ..NetworkConfig::default()
    }
}

/// A relay of the small network, which answers as a directory of did:plc too.
async fn serve_network() -> (std::net::SocketAddr, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let network = Network::new(config()).unwrap();
    let serving = serve(
        listener,
        network,
        RelayConfig::default(),
        std::future::pending(),
    );
    (address, tokio::spawn(async { serving.await.unwrap() }))
}

/// A server that reads a relay.
fn follow(relay: &str, folder: &Path, plc_urls: &str) -> Program {
    let mut command = Command::new(SERVER);
    command.args(["--relay", relay, "--data-dir"]).arg(folder);
    Program::run(command, &[("JETSTREAM_PLC_URL", plc_urls)])
}

/// A URL at which nobody listens.
fn nobody() -> String {
    let listener = StdListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// The value of the first sample that begins so.
fn value(metrics: &str, begins: &str) -> Option<f64> {
    let line = metrics.lines().find(|line| line.starts_with(begins))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// Asks for the metrics until they are as they are to become.
fn until(address: &str, is_so: impl Fn(&str) -> bool) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = get(address, "/metrics");
        if is_so(&text) {
            return text;
        }
        assert!(Instant::now() < deadline, "{text}");
        sleep(Duration::from_millis(10));
    }
}
