//! `dict`: dictionaries trained, inspected and evaluated.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::{Program, SERVER, command, prepare, tail};

#[test]
fn a_dictionary_is_trained_inspected_and_compared_with_another() {
    let folder = tempfile::tempdir().unwrap();
    let (lines, output) = (folder.path().join("lines"), folder.path().join("my.zdict"));
    let text = lines_of(4_000);
    fs::write(&lines, &text).unwrap();
    let (lines, output) = (lines.to_str().unwrap(), output.to_str().unwrap());
    let train = ["dict", "train", lines, "-o", output, "--id=40007", "--json"];
    let sizes = ["--size=1024", "--size=4096"];
    let trained = json(&[&train[..], &sizes].concat());
    let bytes = fs::read(output).unwrap();
    // The number stands behind the four bytes that every dictionary begins with (RFC 8878, 6).
    assert_eq!(&bytes[..8], &[0x37, 0xa4, 0x30, 0xec, 0x47, 0x9c, 0, 0]);
    assert_eq!(trained["bytes"], bytes.len(), "{trained}");
    assert_eq!(trained["events"], 4_000, "{trained}");
    let tried = trained["candidates"].as_array().unwrap().iter();
    let tried: Vec<_> = tried.map(|it| it["size"].as_u64().unwrap()).collect();
    assert_eq!(tried, [1024, 4096]);
    assert_eq!(trained["groups"][0]["name"], "app.bsky.feed.post create");

    let inspected = json(&["dict", "inspect", output, "--json"]);
    assert_eq!(inspected["id"], 40_007);
    assert_eq!(inspected["is_private"], true);
    assert_eq!(inspected["bytes"], bytes.len());

    let evaluate = ["dict", "evaluate", output, lines, "--against=builtin"];
    let evaluated = json(&[&evaluate[..], &["--json"]].concat());
    let [ours, builtin] = [&evaluated[0], &evaluated[1]];
    assert_eq!(ours["dictionary"], output);
    assert_eq!(builtin["dictionary"], "builtin");
    let whole = text.lines().map(|line| line.len() as u64).sum::<u64>();
    for of in [ours, builtin] {
        assert_eq!(of["events"], 4_000, "{of}");
        assert_eq!(of["bytes"], whole, "{of}");
        let sum = |name: &str| -> u64 {
            let groups = of["groups"].as_array().unwrap().iter();
            groups.map(|group| group[name].as_u64().unwrap()).sum()
        };
        for name in ["events", "bytes", "compressed"] {
            assert_eq!(of[name], sum(name), "{name}: {of}");
        }
    }
    let compressed = |of: &Value| of["compressed"].as_u64().unwrap();
    assert!(compressed(ours) < compressed(builtin), "{evaluated}");
    assert!(compressed(ours) * 2 < whole, "{evaluated}");

    let output = command(&evaluate);
    let table = String::from_utf8(output.stdout).unwrap();
    let last = table.lines().find(|line| line.contains("  all ")).unwrap();
    let ratio = |of: &Value| format!("{:.3}", compressed(of) as f64 / whole as f64);
    for expected in ["4000", &whole.to_string(), &ratio(ours), &ratio(builtin)] {
        assert!(last.contains(expected), "{expected}: {table}");
    }
}

#[test]
fn lines_may_come_from_another_program() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("lines"), lines_of(4_000)).unwrap();
    let train = |source: &Path, output: &Path| {
        let mut train = Command::new(SERVER);
        prepare(&mut train).args(["dict", "train", "--size=4096"]);
        train.arg(source).arg("-o").arg(output);
        let input = File::open(path("lines")).unwrap();
        let trained = train.stdin(Stdio::from(input)).output().unwrap();
        assert_eq!(trained.status.code(), Some(0), "{trained:?}");
        fs::read(output).unwrap()
    };
    let piped = train(Path::new("-"), &path("piped.zdict"));
    assert_eq!(piped, train(&path("lines"), &path("read.zdict")));
}

#[test]
fn the_log_of_a_server_is_read_while_it_runs_and_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let data = data.to_str().unwrap();
    let mut program = Program::start(&["--data-dir", data, "--sim-rate=2000"]);
    let url = program.url();
    assert!(tail(&[&url, "--count=1000", "--quiet"]).status.success());
    let evaluate = ["dict", "evaluate", "builtin", "--store", data, "--json"];
    assert!(json(&evaluate)[0]["events"].as_u64() >= Some(1000));
    assert!(program.stop().0);

    let evaluated = json(&evaluate)[0].take();
    let inspected = json(&["inspect", data, "--json", "--top=1000"]);
    let kinds = &inspected["kinds"];
    let syncs = kinds["sync"].as_u64().unwrap();
    let events = inspected["events"].as_u64().unwrap();
    assert_eq!(evaluated["events"], events - syncs, "{evaluated}");
    let groups = evaluated["groups"].as_array().unwrap();
    let of_group = |name: &Value| groups.iter().find(|group| group["name"] == *name);
    for collection in inspected["collections"].as_array().unwrap() {
        let group = of_group(&collection["name"]).unwrap();
        assert_eq!(group["events"], collection["events"], "{collection}");
    }
    let binary = ["builtin-binary", "--binary"];
    let evaluated = json(&[&evaluate[..2], &binary, &evaluate[3..]].concat());
    assert_eq!(evaluated[0]["events"], events - syncs, "{evaluated}");
    let bytes = |it: &Value| it["bytes"].as_u64().unwrap();
    assert!(bytes(&evaluated[0]) < inspected["json_bytes"].as_u64().unwrap());
}

#[test]
fn what_is_not_a_dictionary_or_has_no_events_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("empty"), "").unwrap();
    fs::write(path("lines"), "{}\nnot an event\n").unwrap();
    for (arguments, code, reason) in [
        (
            &["evaluate", "builtin", &path("empty")][..],
            1,
            "there are no events in it",
        ),
        (&["evaluate", "builtin", &path("lines")], 1, "line 2: "),
        (&["evaluate", &path("lines"), &path("lines")], 1, "lines: "),
        (&["inspect", &path("absent")], 1, "absent: "),
        (&["train", "-o", &path("out")], 2, "--simulate <FRAMES>"),
        (
            &["train", &path("empty"), "-o", &path("out")],
            1,
            "no events",
        ),
    ] {
        let output = command(&[&["dict"], arguments].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(reason), "{arguments:?}: {said}");
    }
    assert!(!Path::new(&path("out")).exists());
}

/// The output of a command that succeeds.
fn json(arguments: &[&str]) -> Value {
    let output = command(arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Posts of a hundred accounts, and an identity now and then, a line each.
fn lines_of(count: u64) -> String {
    let line = |number: u64| {
        let (did, time) = (number % 100, 1_783_175_888_000_000 + number * 977);
        let head = format!(r#"{{"did":"did:web:{did}.example","time_us":{time}"#);
        if number.is_multiple_of(50) {
            return format!(
                "{head},\"kind\":\"identity\",\"identity\":{{\"did\":\"did:web:{did}.example\"}}}}\n"
            );
        }
        let text = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        format!(
            "{head},\"kind\":\"commit\",\"commit\":{{\"rev\":\"3k{number:011}\",\
             \"operation\":\"create\",\"collection\":\"app.bsky.feed.post\",\"rkey\":\"3k{number:011}\",\
             \"record\":{{\"$type\":\"app.bsky.feed.post\",\"text\":\"{text:x}\"}}}}}}\n"
        )
    };
    (0..count).map(line).collect()
}
