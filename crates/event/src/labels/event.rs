use std::sync::Arc;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::LabelDraft;
use crate::escape::write_string;
use crate::micros::Micros;
use crate::syntax::Did;

/// An event of a log of labels: a label that a labeler has given or taken back.
///
/// It is read from the JSON that [`write_label`] writes.
///
/// # Examples
///
/// ```
/// use jetwash_event::{LabelEvent, Labels};
///
/// let line = concat!(
///     r#"{"did":"did:web:labeler.example","time_us":7,"kind":"label","label":{"ver":1,"#,
///     r#""src":"did:web:labeler.example","uri":"did:web:a.example","val":"spam","#,
///     r#""cts":"2026-07-04T14:38:07.517Z"}}"#,
/// );
/// let event: LabelEvent = serde_json::from_str(line)?;
/// assert_eq!((&*event.val, event.neg), ("spam", false));
///
/// let labels = Labels::default();
/// labels.apply(&event.draft())?;
/// assert!(labels.has("did:web:a.example", "spam"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LabelEvent {
    /// Its position in time in the log: microseconds since 1970, higher for every event.
    pub time_us: Micros,
    /// The DID of the labeler.
    pub src: Did,
    /// The subject: the DID of an account, the AT URI of a record, or another URI.
    pub uri: Arc<str>,
    /// The version of the record that it is about; `None` for all versions.
    pub cid: Option<Arc<str>>,
    /// The value.
    pub val: Arc<str>,
    /// Whether it takes back the label of the same `src`, `uri` and `val`.
    pub neg: bool,
    /// When it was made, a datetime.
    pub cts: Arc<str>,
    /// When it ceases to apply, a datetime.
    pub exp: Option<Arc<str>>,
}

impl LabelEvent {
    /// Borrows the label, for an index for example.
    #[must_use]
    pub fn draft(&self) -> LabelDraft<'_> {
        LabelDraft {
            src: self.src.as_str(),
            uri: &self.uri,
            cid: self.cid.as_deref(),
            val: &self.val,
            neg: self.neg,
            cts: &self.cts,
            exp: self.exp.as_deref(),
        }
    }
}

impl<'de> Deserialize<'de> for LabelEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Line {
            did,
            time_us,
            kind: OnlyLabel::Label,
            label,
        } = Line::deserialize(deserializer)?;
        if label.ver != 1 {
            let ver = label.ver;
            return Err(D::Error::custom(format!("`ver` is {ver}, not 1")));
        }
        if did != label.src {
            let src = &label.src;
            return Err(D::Error::custom(format!(
                "the event is of {did}, but its label of {src}"
            )));
        }
        Ok(Self {
            time_us,
            src: did,
            uri: label.uri,
            cid: label.cid,
            val: label.val,
            neg: label.neg,
            cts: label.cts,
            exp: label.exp,
        })
    }
}

/// Appends the line of a label's event, without a newline. `time_us` is its position in time. Texts are
/// written as they are: the caller checks them.
///
/// `neg` is left out unless it is set, and so are a `cid` and an `exp` that are not there.
///
/// # Examples
///
/// ```
/// use jetwash_event::{LabelDraft, Micros, write_label};
///
/// let label = LabelDraft {
///     src: "did:web:l.example",
///     uri: "did:web:a.example",
///     val: "spam",
///     neg: true,
///     cts: "2026-07-04T14:38:07Z",
///     ..LabelDraft::default()
/// };
/// let mut line = Vec::new();
/// write_label(&label, Micros::new(7), &mut line);
/// assert_eq!(
///     String::from_utf8_lossy(&line),
///     concat!(
///         r#"{"did":"did:web:l.example","time_us":7,"kind":"label","label":{"ver":1,"#,
///         r#""src":"did:web:l.example","uri":"did:web:a.example","val":"spam","neg":true,"#,
///         r#""cts":"2026-07-04T14:38:07Z"}}"#,
///     )
/// );
/// ```
pub fn write_label(label: &LabelDraft<'_>, time_us: Micros, out: &mut Vec<u8>) {
    let LabelDraft {
        src,
        uri,
        cid,
        val,
        neg,
        cts,
        exp,
    } = *label;
    out.extend_from_slice(br#"{"did":"#);
    write_string(src, out);
    out.extend_from_slice(br#","time_us":"#);
    out.extend_from_slice(itoa::Buffer::new().format(time_us.get()).as_bytes());
    out.extend_from_slice(br#","kind":"label","label":{"ver":1,"src":"#);
    write_string(src, out);
    write_field(br#","uri":"#, Some(uri), out);
    write_field(br#","cid":"#, cid, out);
    write_field(br#","val":"#, Some(val), out);
    if neg {
        out.extend_from_slice(br#","neg":true"#);
    }
    write_field(br#","cts":"#, Some(cts), out);
    write_field(br#","exp":"#, exp, out);
    out.extend_from_slice(b"}}");
}

fn write_field(key: &[u8], text: Option<&str>, out: &mut Vec<u8>) {
    if let Some(text) = text {
        out.extend_from_slice(key);
        write_string(text, out);
    }
}

/// A line as it is read.
#[derive(Deserialize)]
struct Line {
    did: Did,
    time_us: Micros,
    kind: OnlyLabel,
    label: Body,
}

#[derive(Deserialize)]
enum OnlyLabel {
    #[serde(rename = "label")]
    Label,
}

#[derive(Deserialize)]
struct Body {
    ver: i64,
    src: Did,
    uri: Arc<str>,
    cid: Option<Arc<str>>,
    val: Arc<str>,
    #[serde(default)]
    neg: bool,
    cts: Arc<str>,
    exp: Option<Arc<str>>,
}
