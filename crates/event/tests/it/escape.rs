//! Strings as Go writes them, expected by hand.

use jetwash_event::{Draft, DraftBody, Encoder, Micros};

fn written(text: &str) -> String {
    let draft = Draft {
        did: "did:web:a.example",
        body: DraftBody::Identity {
            handle: Some(text),
            seq: 0,
            time: "",
        },
    };
    let mut line = Vec::new();
    Encoder::new()
        .encode(&draft, Micros::EPOCH, &mut line)
        .unwrap();
    let line = String::from_utf8(line).unwrap();
    let (_, after) = line.split_once(r#""handle":""#).unwrap();
    let (text, _) = after.rsplit_once(r#"","seq":0"#).unwrap();
    text.to_owned()
}

#[test]
fn quotes_and_backslashes_have_a_backslash() {
    assert_eq!(written(r#"a"b\c"#), r#"a\"b\\c"#);
}

#[test]
fn three_controls_have_short_forms_and_the_others_none() {
    assert_eq!(written("\n\r\t"), r"\n\r\t");
    assert_eq!(written("\u{8}\u{c}"), r"\u0008\u000c");
    assert_eq!(written("\0\u{1}\u{1f}"), r"\u0000\u0001\u001f");
    assert_eq!(written("\u{7f}\u{80}"), "\u{7f}\u{80}");
}

#[test]
fn what_html_reads_as_markup_is_escaped() {
    assert_eq!(written("<a href='x'>&"), r"\u003ca href='x'\u003e\u0026");
}

#[test]
fn line_and_paragraph_separators_are_escaped_but_not_their_neighbours() {
    assert_eq!(written("\u{2028}\u{2029}"), r"\u2028\u2029");
    assert_eq!(
        written("\u{2027}\u{202a}\u{2068}"),
        "\u{2027}\u{202a}\u{2068}"
    );
    assert_eq!(written("€’\u{2028}"), r"€’\u2028");
}

#[test]
fn other_characters_stay_as_they_are() {
    assert_eq!(written("/ é 日本 😀 ~"), "/ é 日本 😀 ~");
}

#[test]
fn a_special_character_is_found_at_every_position() {
    for length in 0..70 {
        for position in 0..length {
            for (special, escaped) in [
                ('<', r"\u003c"),
                ('>', r"\u003e"),
                ('&', r"\u0026"),
                ('"', r#"\""#),
                ('\\', r"\\"),
                ('\n', r"\n"),
                ('\u{1f}', r"\u001f"),
                ('\u{2028}', r"\u2028"),
            ] {
                let before = "x".repeat(position);
                let after = "y".repeat(length - position - 1);
                assert_eq!(
                    written(&format!("{before}{special}{after}")),
                    format!("{before}{escaped}{after}"),
                );
            }
        }
    }
}
