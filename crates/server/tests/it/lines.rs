//! Lines that the server prints while it runs.

use crate::{Program, tail};

#[test]
fn subscribers_come_and_go_with_address_and_reason() {
    let mut program = Program::start(&[]);
    let url = program.url();
    assert!(tail(&[&url, "--count=1"]).status.success());
    let come = program.line("a subscriber has come");
    assert!(
        come.contains(" INFO ") && come.contains("address=127.0.0.1"),
        "{come}"
    );
    let gone = program.line("a subscriber has gone");
    assert!(
        gone.contains(" INFO ") && gone.contains("address=127.0.0.1"),
        "{gone}"
    );
    assert!(gone.contains(r#"reason="closed_by_client""#), "{gone}");
}

#[test]
fn addresses_are_left_out_if_they_are_to_be() {
    let mut program = Program::start(&["--hide-addresses"]);
    let url = program.url();
    assert!(tail(&[&url, "--count=1"]).status.success());
    for text in ["a subscriber has come", "a subscriber has gone"] {
        let line = program.line(text);
        assert!(
            !line.contains("address") && !line.contains("127.0.0.1"),
            "{line}"
        );
    }
}

#[test]
fn a_line_at_intervals_says_how_it_goes() {
    let mut program = Program::start(&["--report-every=100ms"]);
    let _ = program.url();
    let line = program.line(" events/s, lag ");
    let (_, said) = line.split_once("serve::report: ").unwrap();
    let (rate, rest) = said.split_once(" events/s, lag ").unwrap();
    assert!(rate.parse::<f64>().unwrap() >= 0.0);
    assert!(
        rest.ends_with(" s, 0 subscribers") || rest == "unknown, 0 subscribers",
        "{line}"
    );
}
