use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::{NO_RELAY, Program, call, call_with, command, filler};

/// The message of a program that does not start.
fn refusal(folder: &Path, arguments: &[&str]) -> String {
    let mut command = command(folder, NO_RELAY);
    let output = command
        .args(arguments)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn accounts_are_added_listed_counted_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let dids = [
        "did:web:a.example",
        "did:web:b.example",
        "did:web:c.example",
    ];
    fs::write(
        folder.path().join("dids.txt"),
        "# ours\ndid:web:b.example # a friend\n",
    )
    .unwrap();
    let program = Program::start(folder.path(), NO_RELAY);
    let call =
        |method: &str, path: &str, body: &str| call(program.address, method, path, body).unwrap();
    let (status, answer) = call("POST", "/dids", &dids.join("\n"));
    assert_eq!(
        (status, &answer["changed"], &answer["count"]),
        (200, &2.into(), &3.into())
    );
    // The log is empty: the change holds from its beginning.
    assert_eq!(answer["cursor"], 0);
    let (_, page) = call("GET", "/dids?limit=2", "");
    assert_eq!(
        (&page["dids"][0], &page["next"]),
        (&dids[0].into(), &dids[1].into())
    );
    let (_, page) = call("GET", &format!("/dids?limit=2&after={}", dids[1]), "");
    assert_eq!(page["dids"], serde_json::json!([dids[2]]));
    assert!(page["next"].is_null());
    let (status, answer) = call("DELETE", "/dids", dids[0]);
    assert_eq!((status, &answer["changed"]), (200, &1.into()));
    assert_eq!(call("GET", "/dids/count", "").1["count"], 2);
    assert!(program.stop());
}

#[test]
fn a_change_that_was_answered_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("dids.txt"), "did:web:a.example\n").unwrap();
    let mut program = Program::start(folder.path(), NO_RELAY);
    call(program.address, "POST", "/dids", "did:web:b.example").unwrap();
    call(program.address, "DELETE", "/dids", "did:web:a.example").unwrap();
    program.kill();
    // A line that was cut short is as if it had never been.
    let journal = folder.path().join("dids.txt.changes");
    let mut text = fs::read_to_string(&journal).unwrap();
    assert_eq!(text, "+did:web:b.example\n-did:web:a.example\n");
    text += "+did:web:c.ex";
    fs::write(&journal, &text).unwrap();
    let program = Program::start(folder.path(), NO_RELAY);
    let (_, page) = call(program.address, "GET", "/dids", "").unwrap();
    assert_eq!(page["dids"], serde_json::json!(["did:web:b.example"]));
}

#[test]
fn the_journal_is_shortened_when_most_of_it_is_overruled() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(folder.path(), NO_RELAY);
    let dids: Vec<String> = (0..1000).map(filler).collect();
    for _ in 0..8 {
        call(program.address, "POST", "/dids", &dids.join("\n")).unwrap();
        call(program.address, "DELETE", "/dids", &dids.join("\n")).unwrap();
    }
    call(program.address, "POST", "/dids", &dids[7]).unwrap();
    drop(program);
    let journal = fs::read_to_string(folder.path().join("dids.txt.changes")).unwrap();
    assert!(journal.lines().count() < 11_000);
    let program = Program::start(folder.path(), NO_RELAY);
    let (_, page) = call(program.address, "GET", "/dids", "").unwrap();
    assert_eq!(page["dids"], serde_json::json!([dids[7]]));
}

#[test]
fn a_bad_did_is_named_and_nothing_is_changed() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(folder.path(), NO_RELAY);
    let body = "did:web:a.example\nalice.example\n";
    let (status, answer) = call(program.address, "POST", "/dids", body).unwrap();
    assert_eq!(status, 400);
    let error = answer["error"].as_str().unwrap();
    assert!(
        error.starts_with("`alice.example` is not a DID: "),
        "{error}"
    );
    assert_eq!(
        call(program.address, "GET", "/dids/count", "").unwrap().1["count"],
        0
    );
}

#[test]
fn a_bad_line_of_the_file_is_named_with_its_number() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("dids.txt"),
        "# ours\n\ndid:web:a.example\nnobody\n",
    )
    .unwrap();
    let error = refusal(folder.path(), &["--listen=127.0.0.1:0"]);
    assert!(
        error.contains("dids.txt:4: `nobody` is not a DID: "),
        "{error}"
    );
}

#[test]
fn two_programs_do_not_share_a_journal() {
    let folder = tempfile::tempdir().unwrap();
    let _program = Program::start(folder.path(), NO_RELAY);
    let error = refusal(folder.path(), &["--listen=127.0.0.1:0"]);
    assert!(error.contains("another did-spool has it open"), "{error}");
}

#[test]
fn a_token_is_needed_where_others_can_call() {
    let folder = tempfile::tempdir().unwrap();
    let error = refusal(folder.path(), &["--listen=0.0.0.0:0"]);
    assert!(error.contains("0.0.0.0:0 is not on loopback"), "{error}");
    assert!(error.contains("DID_SPOOL_TOKEN"), "{error}");
}

#[test]
fn a_token_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start_with(folder.path(), NO_RELAY, &["--token=0123456789abcdef"]);
    let count = |header| {
        call_with(program.address, "GET", "/dids/count", "", header)
            .unwrap()
            .0
    };
    assert_eq!(count(""), 401);
    assert_eq!(count("Authorization: Bearer 0123456789abcdeF\r\n"), 401);
    assert_eq!(count("Authorization: Bearer 0123456789abcdef2\r\n"), 401);
    assert_eq!(count("Authorization: Bearer 0123456789abcdef\r\n"), 200);
}

#[test]
fn a_token_that_could_be_found_by_trying_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--listen=127.0.0.1:0", "--token=0123456789abcde"];
    let error = refusal(folder.path(), &arguments);
    assert!(error.contains("shorter than 16 characters"), "{error}");
}

/// The status of a POST that adds an account, with other headers.
fn post_with(program: &Program, headers: &str) -> u16 {
    let answer = call_with(
        program.address,
        "POST",
        "/dids",
        "did:web:a.example",
        headers,
    );
    answer.unwrap().0
}

fn count(program: &Program) -> serde_json::Value {
    call(program.address, "GET", "/dids/count", "").unwrap().1["count"].clone()
}

#[test]
fn web_pages_of_other_origins_cannot_change_anything() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(folder.path(), NO_RELAY);
    for headers in [
        "Origin: https://evil.example\r\n",
        "Origin: null\r\n",
        "Origin: http://localhost\r\nOrigin: http://localhost\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\n",
    ] {
        assert_eq!(post_with(&program, headers), 403, "{headers}");
    }
    assert_eq!(count(&program), 0);
    let own = format!("Origin: http://{}\r\n", program.address);
    let two = format!("{own}Origin: https://evil.example\r\n");
    assert_eq!(post_with(&program, &two), 403);
    assert_eq!(post_with(&program, &own), 200);
    assert_eq!(count(&program), 1);
}

#[test]
fn posts_as_forms_make_them_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(folder.path(), NO_RELAY);
    for sort in [
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain;charset=UTF-8",
        "Text/Plain",
    ] {
        let header = format!("Content-Type: {sort}\r\n");
        assert_eq!(post_with(&program, &header), 415, "{sort}");
    }
    assert_eq!(count(&program), 0);
    assert_eq!(post_with(&program, "Content-Type: text/uri-list\r\n"), 200);
}

#[test]
fn a_foreign_host_name_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start_with(folder.path(), NO_RELAY, &["--host=spool.example"]);
    let status = |hosts: &str| {
        let head = format!("GET /dids/count HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n");
        let mut stream = TcpStream::connect(program.address).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer[9..12].to_owned()
    };
    for own in [
        "127.0.0.1:7780",
        "localhost:1",
        "[::1]:7780",
        "SPOOL.example",
    ] {
        assert_eq!(status(&format!("Host: {own}\r\n")), "200", "{own}");
    }
    for foreign in [
        "evil.example:7780",
        "localhost.evil.example",
        "a@127.0.0.1.evil.example",
    ] {
        assert_eq!(status(&format!("Host: {foreign}\r\n")), "421", "{foreign}");
    }
    assert!(["421", "400"].contains(&&*status("")));
    let two = status("Host: localhost\r\nHost: evil.example\r\n");
    assert!(["421", "400"].contains(&&*two));
}

#[test]
fn half_a_request_is_not_waited_for_without_end() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(folder.path(), NO_RELAY);
    let mut half = TcpStream::connect(program.address).unwrap();
    half.set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    half.write_all(b"POST /dids HTTP/1.1\r\nHost: localhost\r\n")
        .unwrap();
    let mut answer = Vec::new();
    // It ends the connection, with or without a word; a minute without that is an error.
    half.read_to_end(&mut answer).unwrap();
    assert_eq!(count(&program), 0);
}
