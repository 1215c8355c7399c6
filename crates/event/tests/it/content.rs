//! Facts about records, and filters over them, against a naive model over the parsed JSON.

use jetwash_event::{ContentFilter, DidSet, Facts};
use proptest::prelude::*;
use serde_json::{Value, json};

#[test]
fn a_post_gives_its_facts() {
    let record = json!({
        "$type": "app.bsky.feed.post",
        "text": "Ræv \"i\" Ærø\n<3 @anne",
        "langs": ["da", "pt-BR"],
        "reply": {"root": {}, "parent": {}},
        "facets": [
            {"index": {}, "features": [{"$type": "app.bsky.richtext.facet#mention", "did": "did:web:a.example"}]},
            {"index": {}, "features": [{"$type": "app.bsky.richtext.facet#tag", "tag": "x"}]},
        ],
        "embed": {"$type": "app.bsky.embed.video"},
    });
    let facts = Facts::of(&record.to_string());
    assert!(facts.is_in_language("da") && facts.is_in_language("DA"));
    assert!(facts.is_in_language("pt") && facts.is_in_language("pt-br"));
    assert!(
        !facts.is_in_language("p") && !facts.is_in_language("") && !facts.is_in_language("pt-PT")
    );
    assert!(facts.is_reply() && facts.has_media());
    assert!(facts.mentions().eq(["did:web:a.example"]));
    // The text is what it says, not how JSON writes it.
    assert!(facts.has_text("\"i\" ærø\n<3") && !facts.has_text("\\n"));
    assert_eq!(facts.subject(), None);
}

#[test]
fn media_are_pictures_and_videos_also_beside_a_quote() {
    let has_media = |embed: Value| Facts::of(&json!({ "embed": embed }).to_string()).has_media();
    assert!(has_media(json!({"$type": "app.bsky.embed.images"})));
    let with = |kind: &str| json!({"$type": "app.bsky.embed.recordWithMedia", "record": {}, "media": {"$type": kind}});
    assert!(has_media(with("app.bsky.embed.images")));
    assert!(!has_media(with("app.bsky.embed.external")));
    assert!(!has_media(json!({"$type": "app.bsky.embed.record"})));
    assert!(!has_media(json!("app.bsky.embed.images")));
}

#[test]
fn the_subject_is_an_account_however_it_is_named() {
    let subject = |value: Value| {
        let facts = Facts::of(&json!({ "subject": value }).to_string());
        facts.subject().map(str::to_owned)
    };
    let did = Some("did:web:b.example".to_owned());
    assert_eq!(subject(json!("did:web:b.example")), did);
    assert_eq!(
        subject(json!("at://did:web:b.example/app.bsky.graph.list/1")),
        did
    );
    assert_eq!(
        subject(json!({"uri": "at://did:web:b.example/a.b.c/1", "cid": "x"})),
        did
    );
    assert_eq!(subject(json!("b.example")), None);
    assert_eq!(subject(json!({"did": "did:web:b.example"})), None);
    assert_eq!(subject(json!(7)), None);
}

#[test]
fn a_record_of_another_shape_has_no_facts() {
    for record in [
        "",
        "null",
        "[]",
        "7",
        r#"{"text": 7, "langs": "da", "reply": null, "facets": {}, "embed": [], "subject": []}"#,
        r#"{"facets": [{"features": [{"did": 7}]}], "langs": [7]}"#,
    ] {
        assert_eq!(Facts::of(record), Facts::default(), "{record}");
    }
}

#[test]
fn a_wrong_did_is_refused() {
    assert!(ContentFilter::new().mentions("alice").is_err());
    assert!(ContentFilter::new().subject("alice").is_err());
}

#[test]
fn sets_of_accounts_may_change() {
    let set = DidSet::new();
    let filter = ContentFilter::new().subjects_any(set.clone());
    let facts = Facts::of(r#"{"subject": "did:web:b.example"}"#);
    assert!(!filter.matches(&facts));
    set.add("did:web:b.example").unwrap();
    assert!(filter.matches(&facts));
}

fn any_record() -> impl Strategy<Value = Value> {
    let did = || prop::sample::select(vec!["did:web:a.example", "did:web:b.example"]);
    let text = prop::sample::select(vec!["Kaffe og te", "KAFFE", "te", ""]);
    let language = prop::sample::select(vec!["da", "da-DK", "de", "DA"]);
    (
        proptest::option::of(text),
        prop::collection::vec(language, 0..3),
        any::<bool>(),
        prop::collection::vec(did(), 0..3),
        any::<bool>(),
        proptest::option::of(did()),
    )
        .prop_map(|(text, langs, reply, mentions, media, subject)| {
            let mut record = json!({"$type": "com.example", "langs": langs});
            if let Some(text) = text {
                record["text"] = text.into();
            }
            if reply {
                record["reply"] = json!({"root": {"uri": "x"}});
            }
            if media {
                record["embed"] = json!({"$type": "app.bsky.embed.images"});
            }
            if let Some(subject) = subject {
                record["subject"] = json!({"uri": format!("at://{subject}/a.b.c/1")});
            }
            let feature = |did: &&str| json!({"features": [{"did": did}]});
            record["facets"] = mentions.iter().map(feature).collect();
            record
        })
}

proptest! {
    #[test]
    fn a_filter_matches_what_a_naive_one_does(
        record in any_record(),
        language in any::<bool>(),
        replies in any::<Option<bool>>(),
        media in any::<Option<bool>>(),
        mention in any::<bool>(),
        subject in any::<bool>(),
        term in any::<bool>(),
    ) {
        let mut filter = ContentFilter::new();
        let mut expected = true;
        if language {
            filter = filter.languages(["da", "fo"]);
            expected &= record["langs"].as_array().unwrap().iter().any(|tag| {
                tag.as_str().unwrap().to_lowercase().starts_with("da")
            });
        }
        if let Some(wanted) = replies {
            filter = filter.replies(wanted);
            expected &= wanted == record.get("reply").is_some();
        }
        if let Some(wanted) = media {
            filter = filter.media(wanted);
            expected &= wanted == record.get("embed").is_some();
        }
        if mention {
            filter = filter.mentions("did:web:a.example").unwrap();
            expected &= record["facets"].to_string().contains("did:web:a.example");
        }
        if subject {
            filter = filter.subject("did:web:b.example").unwrap();
            expected &= record["subject"].to_string().contains("did:web:b.example");
        }
        if term {
            filter = filter.text("Kaffe").text("mælk");
            expected &= record["text"].to_string().to_lowercase().contains("kaffe");
        }
        prop_assert_eq!(filter.matches(&Facts::of(&record.to_string())), expected);
    }
}
