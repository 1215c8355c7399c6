//! Messages to systemd, over a socket as it has them.

use std::os::unix::net::UnixDatagram;

use crate::{PATIENCE, Program};

#[test]
fn systemd_is_told_of_readiness_of_life_and_of_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let next = || {
        let mut message = [0; 256];
        let length = socket.recv(&mut message).unwrap();
        String::from_utf8(message[..length].to_vec()).unwrap()
    };
    let variables = [
        ("NOTIFY_SOCKET", path.to_str().unwrap()),
        ("WATCHDOG_USEC", "200000"),
    ];
    let mut program = Program::start_in(&[], &variables);
    let mut told = Vec::new();
    // Not before both addresses are listened on.
    while !told.contains(&"READY=1\n".to_owned()) {
        told.push(next());
    }
    let address = program.metrics();
    assert_eq!(crate::get(&address, "/healthz"), "ok\n");
    let pings = |told: &[String]| told.iter().filter(|text| *text == "WATCHDOG=1\n").count();
    while pings(&told) < 3 {
        told.push(next());
    }
    program.signal("TERM");
    let end = loop {
        match next() {
            ping if ping == "WATCHDOG=1\n" => {}
            other => break other,
        }
    };
    assert_eq!(end, "STOPPING=1\n");
    assert!(program.stop().0);
}

#[test]
fn a_server_whose_watchdog_is_not_asked_for_says_nothing_of_life() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut program = Program::start_in(&[], &[("NOTIFY_SOCKET", path.to_str().unwrap())]);
    let _ = program.url();
    assert!(program.stop().0);
    let mut told = Vec::new();
    socket.set_nonblocking(true).unwrap();
    let mut message = [0; 256];
    while let Ok(length) = socket.recv(&mut message) {
        told.push(String::from_utf8(message[..length].to_vec()).unwrap());
    }
    assert_eq!(told, ["READY=1\n", "STOPPING=1\n"]);
}
