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

#[test]
fn hashtags_come_from_the_text_and_from_beside_it() {
    let record = json!({
        "text": "#Dansk",
        "tags": ["Politik", "#Ærø", 7, "#"],
        "facets": [
            {"features": [{"$type": "app.bsky.richtext.facet#tag", "tag": "Dansk"}, {"tag": 7}, 7]},
            7,
            {"features": [{"tag": "ŞİŞLİ"}]},
        ],
    });
    let facts = Facts::of(&record.to_string());
    let tags: Vec<&str> = facts.hashtags().collect();
    assert_eq!(tags, ["politik", "ærø", "dansk", &"ŞİŞLİ".to_lowercase()]);
    let matches = |tag: &str| ContentFilter::new().hashtag(tag).matches(&facts);
    assert!(matches("#POLITIK") && matches("ærø") && matches("şi\u{307}şli\u{307}"));
    assert!(!matches("polit") && !matches("") && !matches("#"));
}

#[test]
fn alt_texts_are_those_of_pictures_and_videos_also_beside_a_quote() {
    let images = json!({"$type": "app.bsky.embed.images", "images": [
        {"alt": "", "image": {}}, {"alt": "Én KAT"}, {"alt": 7}, 7,
    ]});
    let video = json!({"$type": "app.bsky.embed.video", "alt": "En hund", "video": {}});
    let of = |embed: &Value| {
        let facts = Facts::of(&json!({ "embed": embed }).to_string());
        facts.alt_texts().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(of(&images), ["én kat"]);
    assert_eq!(of(&video), ["en hund"]);
    let quoting = json!({"$type": "app.bsky.embed.recordWithMedia", "record": {}, "media": images});
    assert_eq!(of(&quoting), ["én kat"]);
    assert!(of(&json!({"$type": "app.bsky.embed.external", "alt": "x"})).is_empty());
}

#[test]
fn links_are_those_in_the_text_and_the_page_that_is_previewed() {
    let external =
        |uri: &str| json!({"$type": "app.bsky.embed.external", "external": {"uri": uri}});
    let record = json!({
        "facets": [{"features": [{"$type": "app.bsky.richtext.facet#link", "uri": "https://A.example/x"}]}],
        "embed": {"$type": "app.bsky.embed.recordWithMedia", "media": external("http://b.example:80")},
    });
    let facts = Facts::of(&record.to_string());
    assert!(facts.link_hosts().eq(["a.example", "b.example"]));
    let facts = Facts::of(&json!({ "embed": external("at://did:web:c.example/x") }).to_string());
    // What is no address of the web has no host.
    assert_eq!(facts.link_hosts().count(), 0);
}

#[test]
fn a_host_to_link_to_is_a_name_alone() {
    for wrong in [
        "",
        ".",
        ".example",
        "https://a.example",
        "a.example/",
        "a@b.example",
        "a b",
        "a:80",
    ] {
        assert!(ContentFilter::new().link_to(wrong).is_err(), "{wrong}");
    }
    assert!(ContentFilter::new().link_to("A.Example.").is_ok());
}

#[test]
fn details_are_not_looked_for_where_no_rule_asks() {
    let record = r#"{"text": "Kaffe", "tags": ["kaffe"], "embed": {"$type": "app.bsky.embed.video", "alt": "x"}}"#;
    let brief = Facts::without_details(record);
    assert!(brief.has_media() && brief.has_word("kaffe"));
    assert_eq!(
        (brief.hashtags().count(), brief.alt_texts().count()),
        (0, 0)
    );
    assert!(
        !ContentFilter::new()
            .word("kaffe")
            .languages(["da"])
            .needs_details()
    );
    assert!(ContentFilter::new().alt_text("x").needs_details());
    assert!(
        ContentFilter::new()
            .link_to("a.example")
            .unwrap()
            .needs_details()
    );
}

proptest! {
    /// The naive way: the text is cut where no letter or digit is, and its pieces are compared.
    #[test]
    fn a_word_is_found_as_a_naive_cut_finds_it(
        text in "[aAbæÆøé1 ,.'#-]{0,24}",
        word in "[aAbæÆøé1]{1,3}",
    ) {
        let lower = word.to_lowercase();
        let expected = text.split(|character: char| !character.is_alphanumeric())
            .any(|piece| piece.to_lowercase() == lower);
        let facts = Facts::of(&json!({ "text": text }).to_string());
        prop_assert_eq!(ContentFilter::new().word(&word).matches(&facts), expected);
    }

    #[test]
    fn hashtags_alt_texts_and_links_match_what_a_naive_filter_does(
        tags in prop::collection::vec(0..4_usize, 0..3),
        marked in prop::collection::vec(0..4_usize, 0..3),
        links in prop::collection::vec(0..5_usize, 0..3),
        page in proptest::option::of(0..5_usize),
        alts in prop::collection::vec(0..3_usize, 0..3),
        rules in (any::<bool>(), any::<bool>(), any::<bool>()),
    ) {
        const TAGS: [&str; 4] = ["Kaffe", "KAFFE", "kaffebar", "te"];
        const ALTS: [&str; 3] = ["En Kop", "kopper på bordet", "Te"];
        // Whether it is at or below a.example is in the second place.
        const LINKS: [(&str, bool); 5] = [
            ("https://a.example/x", true),
            ("http://www.A.example:8080", true),
            ("https://ba.example/a.example", false),
            ("https://a.example@b.example/", false),
            ("https://b.example/?https://a.example", false),
        ];
        let tag = |index: &usize| TAGS[*index];
        let mut features: Vec<Value> = marked.iter().map(|index| json!({"tag": tag(index)})).collect();
        features.extend(links.iter().map(|index| json!({"uri": LINKS[*index].0})));
        let mut record = json!({
            "tags": tags.iter().map(tag).collect::<Vec<_>>(),
            "facets": [{"features": features}],
        });
        if let Some(page) = page {
            let external = json!({"uri": LINKS[page].0});
            record["embed"] = json!({"$type": "app.bsky.embed.external", "external": external});
        } else {
            let images: Vec<Value> = alts.iter().map(|index| json!({"alt": ALTS[*index]})).collect();
            record["embed"] = json!({"$type": "app.bsky.embed.images", "images": images});
        }
        let (mut filter, mut expected) = (ContentFilter::new(), true);
        if rules.0 {
            filter = filter.hashtag("#kaffe").hashtag("mælk");
            expected &= tags.iter().chain(&marked).any(|index| *index < 2);
        }
        if rules.1 {
            filter = filter.alt_text("KOP");
            expected &= page.is_none() && alts.iter().any(|index| *index < 2);
        }
        if rules.2 {
            filter = filter.link_to("a.Example").unwrap();
            expected &= links.iter().chain(&page).any(|index| LINKS[*index].1);
        }
        prop_assert_eq!(filter.matches(&Facts::of(&record.to_string())), expected);
    }
}
