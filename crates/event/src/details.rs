//! The facts about a record that few filters ask for: hashtags, alt texts and links.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::field::parse;
use crate::host::host_of;

/// Hashtags, alt texts and links of a record, each in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Details {
    /// Without `#`.
    pub(crate) hashtags: Box<[Box<str>]>,
    pub(crate) alt_texts: Box<[Box<str>]>,
    pub(crate) link_hosts: Box<[Box<str>]>,
}

/// Finds the details of a record in its fields; `None` if it has no details.
pub(crate) fn details(
    tags: Option<&RawValue>,
    facets: Option<&RawValue>,
    embed: Option<&RawValue>,
) -> Option<Details> {
    let (mut hashtags, mut alt_texts, mut hosts) = (Vec::new(), Vec::new(), Vec::new());
    let tags: Vec<&RawValue> = parse(tags).unwrap_or_default();
    for tag in tags {
        hashtags.extend(parse(Some(tag)).map(|tag: Cow<'_, str>| hashtag(&tag)));
    }
    let facets: Vec<&RawValue> = parse(facets).unwrap_or_default();
    // A facet or a feature of another shape costs only itself.
    let facets = facets.into_iter().filter_map(|facet| parse(Some(facet)));
    for feature in facets.flat_map(|facet: Facet<'_>| facet.features) {
        let Some(feature) = parse::<Feature<'_>>(Some(feature)) else {
            continue;
        };
        hashtags.extend(feature.tag.map(|tag| hashtag(&tag)));
        hosts.extend(feature.uri.and_then(|uri| host_of(&uri)));
    }
    if let Some(embed) = parse::<Embed<'_>>(embed).and_then(media_of) {
        add_embed(embed, &mut alt_texts, &mut hosts);
    }
    hashtags.retain(|tag| !tag.is_empty());
    let found = Details {
        hashtags: hashtags.into(),
        alt_texts: alt_texts.into(),
        link_hosts: hosts.into(),
    };
    (found != Details::default()).then_some(found)
}

/// A hashtag as it is compared: without its `#`, which not every client leaves out, and in lower
/// case.
pub(crate) fn hashtag(tag: &str) -> Box<str> {
    let tag = tag.trim();
    let bare = tag.strip_prefix(['#', '＃']).unwrap_or(tag);
    bare.to_lowercase().into()
}

fn add_embed(embed: Embed<'_>, alt_texts: &mut Vec<Box<str>>, hosts: &mut Vec<Box<str>>) {
    let lower = |text: Cow<'_, str>| Box::<str>::from(text.to_lowercase());
    match embed.kind.as_deref() {
        Some("app.bsky.embed.images") => {
            let images: Vec<&RawValue> = parse(embed.images).unwrap_or_default();
            for image in images {
                let image = parse::<Described<'_>>(Some(image));
                alt_texts.extend(image.and_then(|image| image.alt).map(lower));
            }
        }
        Some("app.bsky.embed.video") => alt_texts.extend(parse(embed.alt).map(lower)),
        Some("app.bsky.embed.external") => {
            let page = parse::<External<'_>>(embed.external);
            hosts.extend(page.and_then(|page| host_of(&page.uri?)));
        }
        _ => {}
    }
    // Pictures without a description have an empty one.
    alt_texts.retain(|text| !text.is_empty());
}

/// The part of an embed that has pictures, a video or a page: itself, or what is beside a quote.
pub(crate) fn media_of(embed: Embed<'_>) -> Option<Embed<'_>> {
    if embed.kind.as_deref() == Some("app.bsky.embed.recordWithMedia") {
        return parse(embed.media);
    }
    Some(embed)
}

#[derive(Deserialize)]
pub(crate) struct Embed<'a> {
    #[serde(rename = "$type", borrow)]
    pub(crate) kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    media: Option<&'a RawValue>,
    #[serde(borrow)]
    images: Option<&'a RawValue>,
    #[serde(borrow)]
    alt: Option<&'a RawValue>,
    #[serde(borrow)]
    external: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Facet<'a> {
    #[serde(borrow)]
    features: Vec<&'a RawValue>,
}

/// A feature of a facet: a hashtag has a tag, and a link an address.
#[derive(Deserialize)]
struct Feature<'a> {
    #[serde(borrow)]
    tag: Option<Cow<'a, str>>,
    #[serde(borrow)]
    uri: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Described<'a> {
    #[serde(borrow)]
    alt: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct External<'a> {
    #[serde(borrow)]
    uri: Option<Cow<'a, str>>,
}
