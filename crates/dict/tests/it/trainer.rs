use jetwash_corpus::corpus;
use jetwash_dict::{Dictionary, Evaluation, TrainError, Trainer};

/// Likes of `accounts` accounts, as production writes them, with a rarer sort in between.
fn lines(accounts: u64, count: u64) -> Vec<String> {
    let base32 = |number: u64, length: u32| -> String {
        let digits = b"abcdefghijklmnopqrstuvwxyz234567";
        let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1;
        let mut digit = || {
            state = state
                .wrapping_mul(0x5851_f42d_4c95_7f2d)
                .wrapping_add(0x1405_7b7e_f767_814f);
            char::from(digits[(state >> 59) as usize])
        };
        (0..length).map(|_| digit()).collect()
    };
    let line = |n: u64| {
        let did = format!("did:plc:{}", base32(n % accounts, 24));
        let body = if n % 10 == 7 {
            format!(
                r#""collection":"com.example.rare.thing","rkey":"self","record":{{"$type":"com.example.rare.thing","somethingRare":{n},"client":"The One Client","secret":"secret of {} number {}"}}"#,
                n % accounts,
                n % accounts
            )
        } else {
            format!(
                r#""collection":"app.bsky.feed.like","rkey":"3m{}","record":{{"$type":"app.bsky.feed.like","createdAt":"2026-07-04T14:38:{:02}.{:03}Z","subject":{{"cid":"bafyrei{}","uri":"at://did:plc:{}/app.bsky.feed.post/3m{}"}}}}"#,
                base32(n, 11),
                n % 60,
                n % 1000,
                base32(n + 1, 52),
                base32(n + 2, 24),
                base32(n + 3, 11)
            )
        };
        format!(
            r#"{{"did":"{did}","time_us":{},"kind":"commit","commit":{{"rev":"3m{}","operation":"create",{body},"cid":"bafyrei{}"}}}}"#,
            1_783_175_888_085_434 + n * 7919,
            base32(n + 4, 11),
            base32(n + 5, 52)
        )
    };
    (0..count).map(line).collect()
}

fn trainer(lines: &[String]) -> Trainer {
    let mut trainer = Trainer::new().sizes([4096]);
    lines.iter().for_each(|line| trainer.add(line));
    trainer
}

#[test]
fn the_same_events_give_the_same_dictionary_with_a_number_of_its_own() {
    let lines = lines(300, 1500);
    let one = trainer(&lines).train(None).unwrap();
    let two = trainer(&lines).train(None).unwrap();
    assert_eq!(one.dictionary().bytes(), two.dictionary().bytes());
    let other = trainer(&lines[..1200]).train(None).unwrap();
    assert_ne!(one.dictionary().id(), other.dictionary().id());
    // RFC 8878: below are those of a future registry, above those that nobody may use.
    assert!((32_768..1 << 31).contains(&one.dictionary().id()));
    let named = trainer(&lines).train(Some(20_261_122)).unwrap();
    assert_eq!(named.dictionary().id(), 20_261_122);
}

#[test]
fn the_smallest_of_the_good_sizes_is_taken() {
    let mut told = Vec::new();
    let lines = lines(300, 1500);
    let trained = trainer(&lines)
        .sizes([1024, 2048, 4096])
        .train_with(
            None,
            |line| Some(line.into()),
            |candidate| told.push(*candidate),
        )
        .unwrap();
    assert_eq!(told, trained.candidates());
    let ratios = told.iter().map(|candidate| candidate.result.ratio());
    let best = ratios.fold(1.0, f64::min);
    let first = told
        .iter()
        .find(|it| it.result.ratio() <= best * 1.005)
        .unwrap();
    assert!(trained.dictionary().bytes().len() <= first.size);
    assert_eq!(trained.held_out(), first.result);
}

#[test]
fn accounts_that_are_held_out_are_not_learnt_from() {
    let lines = lines(400, 2000);
    let trained = trainer(&lines).scrub(false).train(None).unwrap();
    let held_out = trained.held_out();
    assert!((100..500).contains(&held_out.events), "{held_out}");
    assert_eq!(trained.samples() as u64 + held_out.events, 2000);
    // The bytes add up over the groups, so both speak of the same events.
    let groups = trained.groups().iter();
    assert_eq!(
        groups.map(|(_, found)| found.bytes).sum::<u64>(),
        held_out.bytes
    );
}

#[test]
fn what_is_personal_is_not_in_the_dictionary_unless_it_is_common() {
    let lines = lines(300, 3000);
    let holds = |dictionary: &Dictionary, text: &str| {
        let windows = dictionary.bytes().windows(text.len());
        windows.into_iter().any(|window| window == text.as_bytes())
    };
    let plain = trainer(&lines).scrub(false).train(None).unwrap();
    let scrubbed = trainer(&lines).train(None).unwrap();
    assert!(
        holds(plain.dictionary(), "ret of "),
        "the test has nothing to find"
    );
    assert!(!holds(scrubbed.dictionary(), "ret of "));
    assert!(holds(scrubbed.dictionary(), "e Clie"));
}

#[test]
fn memory_is_bounded_and_the_rare_survive() {
    let lines = lines(300, 8_000);
    let mut trainer = Trainer::new().max_bytes(512 << 10).sizes([4096]);
    lines.iter().for_each(|line| trainer.add(line));
    // Made-up collections take no more room than the rest.
    for n in 0..2000 {
        trainer.add(&format!(
            r#"{{"kind":"commit","collection":"made.up.n{n}"}}"#
        ));
    }
    assert_eq!(trainer.seen(), 10_000);
    let trained = trainer.train(None).unwrap();
    assert!(trained.samples() < 2000, "{}", trained.samples());
    assert!(trained.groups().len() < 520);
    let rare = trained
        .groups()
        .iter()
        .find(|(name, _)| name.starts_with("com.example.rare"));
    assert!(rare.unwrap().1.ratio() < 0.7);
}

#[test]
fn too_little_is_said_to_be() {
    let error = trainer(&lines(3, 3)).train(None).unwrap_err();
    assert!(matches!(error, TrainError::Samples { .. }), "{error}");
    let error = Trainer::new().train(None).unwrap_err();
    assert!(
        matches!(error, TrainError::Samples { count: 0, .. }),
        "{error}"
    );
    assert!(trainer(&lines(300, 1500)).train(Some(0)).is_err());
}

#[test]
fn anything_may_be_added() {
    let mut trainer = Trainer::new();
    for line in [
        "",
        "\"",
        "\\\"",
        "{\"did\":\"",
        "\"did\":\"\\",
        "é\"collection\":\"é\"",
        "null",
    ] {
        trainer.add(line);
    }
    assert!(trainer.train(None).is_err());
}

/// A dictionary learnt from some public repositories serves production, whose lines are of others.
#[test]
fn recorded_lines_get_as_small_as_promised() {
    let Some(corpus) = corpus("a dictionary for production's lines") else {
        return;
    };
    let mut trainer = Trainer::new().sizes([8 << 10]);
    let lines = corpus.lines("events/events_v1_from_repos.jsonl.zst");
    lines.iter().for_each(|line| trainer.add(line));
    let trained = trainer.train(None).unwrap();
    let lines = corpus.lines("firehose-2026-07-04/expected_v1.jsonl");
    let found = Evaluation::of(trained.dictionary(), lines.iter().map(String::as_bytes));
    assert!(found.ratio() < 0.40, "{found}");

    let official = corpus.bytes("dictionaries/legacy_subscribe.zdict");
    let official = Dictionary::from_bytes(official).unwrap();
    let found = Evaluation::of(&official, lines.iter().map(String::as_bytes));
    assert!(found.ratio() < 0.4445, "{found}");
}
