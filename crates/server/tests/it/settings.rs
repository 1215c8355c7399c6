//! The official variables, and others.

use std::net::{Ipv4Addr, Ipv6Addr, TcpStream};

use crate::Program;

#[test]
fn official_variables_are_taken_as_they_are_written() {
    let variables = [
        ("JETSTREAM_MAX_SUB_RATE", "5000.0"),
        ("JETSTREAM_EVENT_TTL", ""),
        ("JETSTREAM_OVERRIDE_RELAY_CURSOR", ""),
        ("JETSTREAM_DATA_DIR", ""),
        ("JETSTREAM_ZSTD_DICTIONARY_PATH", ""),
        ("JETSTREAM_WS_URL", ""),
    ];
    let mut program = Program::start_in(&[], &variables);
    let kept = program.line("they are kept");
    assert!(kept.contains("in memory for 1day"), "{kept}");
    let _ = program.url();
    let (ended, lines) = program.stop();
    assert!(ended);
    assert!(
        !lines.iter().any(|line| line.contains("WARN")),
        "{lines:#?}"
    );
}

#[test]
fn variables_that_mean_nothing_here_are_named_in_one_line() {
    let variables = [
        ("JETSTREAM_WORKER_COUNT", "100"),
        ("JETSTREAM_LIVENESS_TTL", "15s"),
        ("JETSTREAM_MAX_QUEUE_SIZE", ""),
        ("JETSTREAM_APP_PORT", "tcp://10.0.0.1:80"),
    ];
    let mut program = Program::start_in(&[], &variables);
    let _ = program.url();
    let (_, lines) = program.stop();
    let warnings: Vec<_> = lines.iter().filter(|line| line.contains("WARN")).collect();
    let [warning] = &*warnings else {
        panic!("{lines:#?}");
    };
    let named = "mean nothing here: JETSTREAM_LIVENESS_TTL, JETSTREAM_WORKER_COUNT";
    assert!(warning.ends_with(named), "{warning}");
}

#[test]
fn log_levels_that_make_no_sense_are_told_and_the_default_holds() {
    let mut program = Program::start_in(&[], &[("RUST_LOG", "jetwash=loudly")]);
    let warning = program.line("RUST_LOG says nothing that can be understood");
    assert!(warning.contains("WARN"), "{warning}");
    let _ = program.url();
}

#[test]
fn a_port_without_a_host_is_open_over_both_families() {
    let mut program = Program::start(&["--listen=:0"]);
    let url = program.url();
    let (_, port) = url.trim_end_matches("/subscribe").rsplit_once(':').unwrap();
    let port: u16 = port.parse().unwrap();
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    if std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
        TcpStream::connect((Ipv6Addr::LOCALHOST, port)).unwrap();
    } else {
        println!("skipped: there is no IPv6 on loopback");
    }
}
