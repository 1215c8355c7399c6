//! Identifiers against the protocol's own lists, and the rules that those leave open.

use jetwash_corpus::corpus;
use jetwash_event::{AtUri, Cid, Datetime, Did, Handle, Micros, Nsid, RecordKey, Syntax, Tid};

const FOLDER: &str = "atproto-interop-tests/syntax";

/// Entries of the lists that do not hold, or not here, and why.
type Exceptions<'a> = &'a [&'a str];

fn check_lists(name: &str, valid: fn(&str) -> bool, exceptions: Exceptions<'_>) {
    let Some(corpus) = corpus(&format!("the {name} lists")) else {
        return;
    };
    let mut used = Vec::new();
    for (list, expected) in [("valid", true), ("invalid", false)] {
        let lines = corpus.syntax_list(&format!("{FOLDER}/{name}_syntax_{list}.txt"));
        assert!(!lines.is_empty(), "{name}: the list is empty");
        for line in &lines {
            let is_exception = exceptions.contains(&line.as_str());
            assert_eq!(valid(line), expected != is_exception, "{name}: `{line}`");
            if is_exception {
                used.push(line.clone());
            }
        }
    }
    assert_eq!(used.len(), exceptions.len(), "{name}: an unused exception");
}

#[test]
fn dids_follow_the_lists() {
    check_lists("did", |text| Did::check(text).is_ok(), &[]);
}

#[test]
fn handles_follow_the_lists() {
    check_lists("handle", |text| Handle::check(text).is_ok(), &[]);
}

#[test]
fn nsids_follow_the_lists() {
    check_lists("nsid", |text| Nsid::check(text).is_ok(), &[]);
}

#[test]
fn record_keys_follow_the_lists() {
    check_lists("recordkey", |text| RecordKey::check(text).is_ok(), &[]);
}

#[test]
fn tids_follow_the_lists() {
    check_lists("tid", |text| Tid::check(text).is_ok(), &[]);
}

#[test]
fn at_uris_follow_the_lists() {
    check_lists("aturi", |text| AtUri::check(text).is_ok(), &[]);
}

#[test]
fn datetimes_follow_the_lists() {
    check_lists("datetime", |text| Datetime::check(text).is_ok(), &[]);
    let Some(corpus) = corpus("datetimes that are on no calendar") else {
        return;
    };
    for line in corpus.syntax_list(&format!("{FOLDER}/datetime_parse_invalid.txt")) {
        assert!(Datetime::check(&line).is_err(), "`{line}`");
    }
}

#[test]
fn cids_follow_the_lists() {
    // The list is about the characters of any CID. Ours is the one form that repositories have:
    // these are in another base, of another codec, or no CIDs at all.
    let exceptions = [
        "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi",
        "zdj7WWeQ43G6JJvLWQWZpyHuAMq6uYWRjkBXFad11vE2LHhQ7",
        "bafybeie5gq4jxvzmsym6hjlwxej4rwdoxt7wadqvmmwbqi7r27fclha2va",
        "mBcDxtdWx0aWhhc2g+",
        "z7x3CtScH765HvShXT",
        "zdj7WhuEjrB52m1BisYCtmjH1hSKa7yZ3jEZ9JcXaFRD51wVz",
        "7134036155352661643226414134664076",
        "f017012202c5f688262e0ece8569aa6f94d60aad55ca8d9d83734e4a7430d0cff6588ec2b",
    ];
    check_lists("cid", |text| text.parse::<Cid>().is_ok(), &exceptions);
}

#[test]
fn a_did_of_the_usual_length_is_checked_no_less() {
    assert!(Did::check("did:plc:ewvi7nxzyoun6zhxrhs64oiz").is_ok());
    for wrong in [
        "did:plc:ewvi7nxzyoun6zhxrhs64oi/",
        "did:plc:ewvi7nxzyoun6zhxrhs64oi:",
        "did:PLC:ewvi7nxzyoun6zhxrhs64oiz",
        "did:plc ewvi7nxzyoun6zhxrhs64oiz",
    ] {
        assert_eq!(wrong.len(), 32);
        assert!(Did::check(wrong).is_err(), "`{wrong}`");
    }
    // Valid by the rule for other characters.
    assert!(Did::check("did:plc:ewvi7nxzyoun6zhxrhs6.-_z").is_ok());
}

#[test]
fn lengths_are_bounded() {
    let long = |start: &str, length: usize| format!("{start}{}", "o".repeat(length - start.len()));
    assert!(Did::check(&long("did:plc:", 2048)).is_ok());
    assert!(Did::check(&long("did:plc:", 2049)).is_err());
    assert!(RecordKey::check(&long("", 512)).is_ok());
    assert!(RecordKey::check(&long("", 513)).is_err());
    assert!(RecordKey::check("").is_err());
}

#[test]
fn an_nsid_may_be_317_bytes_long() {
    let longest = format!("{}n", "ab.".repeat(105) + "c.");
    assert_eq!(longest.len(), 318);
    assert!(Nsid::check(&longest).is_err());
    assert!(Nsid::check(&longest[1..]).is_ok());
}

#[test]
fn a_tid_gives_its_time_and_clock() {
    // Made by hand: 1 µs is one digit before the two of the clock, in an alphabet from `2` on.
    assert_eq!(
        "2222222222222".parse::<Tid>().unwrap().time(),
        Micros::EPOCH
    );
    let tid: Tid = "2222222222322".parse().unwrap();
    assert_eq!((tid.time(), tid.clock()), (Micros::new(1), 0));
    let tid: Tid = "2222222222b3z".parse().unwrap();
    assert_eq!((tid.time(), tid.clock()), (Micros::new(7), 32 + 31));
    let latest: Tid = "jzzzzzzzzzzzz".parse().unwrap();
    assert_eq!(
        (latest.time(), latest.clock()),
        (Micros::new((1 << 54) - 1), 1023)
    );
}

#[test]
fn a_message_may_have_a_time_that_data_may_not() {
    for lax in [
        "2026-07-04T14:38:07-00:00",
        "2026-07-04T14:38:07.123456789012345678901Z",
        "0000-01-01T00:00:00+00:01",
    ] {
        assert!(Datetime::check(lax).is_err(), "`{lax}`");
        assert!(Datetime::check_rfc3339(lax).is_ok(), "`{lax}`");
    }
    for wrong in [
        "",
        "2026-07-04",
        "2026-07-04T14:38:07",
        "2026-07-04t14:38:07Z",
        "2026-07-04T14:38:07z",
        "2026-07-04T14:38:07.Z",
        "2026-02-29T14:38:07Z",
        "2026-07-04T24:00:00Z",
        "2026-07-04T23:59:60Z",
        "2026-07-04T14:38:07+24:00",
        "2026-07-04T14:38:07+01:60",
        "2026-07-04T14:38:07+0100",
        "2026-07-04T14:38:07Z ",
        "2026-07-04T14:38:0\u{e9}Z",
    ] {
        assert!(Datetime::check_rfc3339(wrong).is_err(), "`{wrong}`");
        assert!(Datetime::check(wrong).is_err(), "`{wrong}`");
    }
    assert!(Datetime::check_rfc3339("2024-02-29T00:00:00.5+23:59").is_ok());
    assert!(Datetime::check("2000-02-29T00:00:00Z").is_ok());
    assert!(Datetime::check("0000-01-01T01:00:00+01:00").is_ok());
    assert!(Datetime::check("0000-01-01T00:59:00+01:00").is_err());
    assert!(Datetime::check("1900-02-29T00:00:00Z").is_err());
}

#[test]
fn an_error_names_the_identifier_and_the_rule() {
    let error = "did:plc:ab/c".parse::<Did>().unwrap_err();
    assert_eq!(error.syntax(), Syntax::Did);
    assert!(error.rule().contains("a character other than"));
    let error = Nsid::check("com.example").unwrap_err();
    assert_eq!(error.to_string(), "not an NSID: fewer than three segments");
    let error = Tid::check("zzzzzzzzzzzzz").unwrap_err();
    assert_eq!(error.to_string(), "not a TID: more than 64 bits");
}

#[test]
fn identifiers_go_through_serde_as_checked_strings() {
    let did: Did = serde_json::from_str(r#""did:web:a.example""#).unwrap();
    assert_eq!(did, "did:web:a.example");
    assert_eq!(
        serde_json::to_string(&did).unwrap(),
        r#""did:web:a.example""#
    );
    // An escape in the JSON makes the text one that cannot be borrowed.
    let tid: Tid = serde_json::from_str(r#""3jzfcijpj2z2\u0061""#).unwrap();
    assert_eq!(tid, "3jzfcijpj2z2a");
    let error = serde_json::from_str::<Nsid>(r#""com.example""#).unwrap_err();
    assert!(error.to_string().starts_with("not an NSID"), "{error}");
}

// Expected with GNU date.
#[test]
fn a_datetime_is_a_moment_in_microseconds() {
    for (text, micros) in [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.0000019Z", 1),
        ("1970-01-01T01:00:00.5+01:00", 500_000),
        ("2000-02-29T00:00:00Z", 951_782_400_000_000),
        ("2000-02-28T23:59:59.999999Z", 951_782_399_999_999),
        ("2026-07-04T14:38:08Z", 1_783_175_888_000_000),
        ("2026-07-04T07:08:08-07:30", 1_783_175_888_000_000),
        ("2100-03-01T00:00:00.000001Z", 4_107_542_400_000_001),
        ("9999-12-31T23:59:59Z", 253_402_300_799_000_000),
        ("1969-12-31T23:59:59Z", 0),
        ("0000-01-01T00:00:00Z", 0),
    ] {
        let datetime: Datetime = text.parse().unwrap();
        assert_eq!(datetime.time().get(), micros, "{text}");
    }
}
