//! What can be measured.

use std::collections::BTreeMap;

use crate::{Program, get, tail};

/// What the docs list: names and sorts.
fn listed() -> BTreeMap<String, String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
    let text = std::fs::read_to_string(path).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        (cells[1].trim_matches('`').to_owned(), cells[2].to_owned())
    })
    .collect()
}

#[test]
fn every_metric_has_help_and_is_in_the_docs() {
    let mut program = Program::start(&["--report-every=0s"]);
    let url = program.url();
    assert!(tail(&[&url, "--count=100", "--compress"]).status.success());
    program.line("a subscriber has gone");
    let text = get(&program.metrics(), "/metrics");
    let listed = listed();
    let (mut helped, mut sorts) = (Vec::new(), BTreeMap::new());
    let mut samples = 0;
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(help.ends_with('.') && help.len() > 5, "{line}");
            helped.push(name);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, sort) = rest.split_once(' ').unwrap();
            assert_eq!(sorts.insert(name, sort), None, "{name} is there twice");
        } else {
            samples += 1;
            let name = line.split(['{', ' ']).next().unwrap();
            let base = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| name.strip_suffix(end))
                .filter(|base| sorts.contains_key(base))
                .unwrap_or(name);
            assert!(helped.contains(&base), "{name} has no HELP");
            let listed = listed.get(base).map(String::as_str);
            assert_eq!(
                listed,
                sorts.get(base).copied(),
                "{base} in docs/metrics.md"
            );
        }
    }
    assert!(samples > 50, "{text}");
    for name in [
        "jetwash_build_info{version=",
        "jetwash_log_bytes ",
        "jetwash_log_oldest_timestamp_seconds ",
        "process_start_time_seconds ",
        "jetstream_subscribers_connected 0",
    ] {
        assert!(text.contains(&format!("\n{name}")), "{name}");
    }
    if cfg!(target_os = "linux") {
        for name in [
            "process_cpu_seconds_total",
            "process_max_fds",
            "process_open_fds",
            "process_resident_memory_bytes",
        ] {
            let value = text
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            assert!(value.unwrap().parse::<f64>().unwrap() > 0.0, "{name}");
        }
    }
}
