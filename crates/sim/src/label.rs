use jetwash_cbor::CborWriter;

#[cfg(feature = "relay")]
use crate::keys::Key;

/// A label for a test: a value on a subject, from a labeler, with what else a label may have.
///
/// # Examples
///
/// ```
/// use jetwash_frame::LabelFrame;
/// use jetwash_sim::{SimLabel, did};
///
/// let spam = SimLabel::new(did(0), did(1), "spam");
/// let frame = SimLabel::frame(7, &[spam.clone(), spam.negated().at("2026-07-04T14:38:07Z")]);
/// let LabelFrame::Labels(message) = LabelFrame::decode(&frame)? else { panic!("other frame") };
/// assert_eq!((message.seq, message.labels().len()), (7, 2));
/// assert!(message.labels()[1].neg);
/// # Ok::<(), jetwash_frame::LabelFrameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimLabel {
    src: String,
    uri: String,
    val: String,
    cid: Option<String>,
    neg: bool,
    cts: String,
    exp: Option<String>,
    signature: Option<[u8; 64]>,
}

impl SimLabel {
    /// Makes a label of a labeler, made at the start of 2026. Nothing is checked.
    #[must_use]
    pub fn new(src: impl Into<String>, uri: impl Into<String>, val: impl Into<String>) -> Self {
        Self {
            src: src.into(),
            uri: uri.into(),
            val: val.into(),
            cid: None,
            neg: false,
            cts: "2026-01-01T00:00:00.000Z".to_owned(),
            exp: None,
            signature: None,
        }
    }

    /// Sets when it was made.
    #[must_use]
    pub fn at(mut self, cts: impl Into<String>) -> Self {
        self.cts = cts.into();
        self
    }

    /// Has it be about one version of a record.
    #[must_use]
    pub fn on_version(mut self, cid: impl Into<String>) -> Self {
        self.cid = Some(cid.into());
        self
    }

    /// Sets when it expires.
    #[must_use]
    pub fn until(mut self, exp: impl Into<String>) -> Self {
        self.exp = Some(exp.into());
        self
    }

    /// Has it take back the label that it is otherwise like.
    #[must_use]
    pub const fn negated(mut self) -> Self {
        self.neg = true;
        self
    }

    /// Returns a frame of `subscribeLabels` with this number and these labels, in their order.
    #[must_use]
    pub fn frame(seq: u64, labels: &[Self]) -> Vec<u8> {
        let mut writer = CborWriter::new();
        writer
            .map(2)
            .text("t")
            .text("#labels")
            .text("op")
            .unsigned(1);
        writer.map(2).text("seq").unsigned(seq);
        writer.text("labels").array(labels.len());
        for label in labels {
            label.write(&mut writer);
        }
        writer.into_bytes()
    }

    #[cfg(feature = "relay")]
    /// Signs it as its labeler does: the SHA-256 of its DAG-CBOR without `sig`.
    pub(crate) fn sign(&mut self, key: &Key) {
        let mut writer = CborWriter::new();
        self.signature = None;
        self.write(&mut writer);
        self.signature = Some(key.sign(&writer.into_bytes()));
    }

    fn write(&self, writer: &mut CborWriter) {
        let optional = [
            self.cid.is_some(),
            self.exp.is_some(),
            self.neg,
            self.signature.is_some(),
        ];
        writer.map(5 + optional.into_iter().filter(|is_there| *is_there).count());
        if let Some(cid) = &self.cid {
            writer.text("cid").text(cid);
        }
        writer.text("cts").text(&self.cts);
        if let Some(exp) = &self.exp {
            writer.text("exp").text(exp);
        }
        if self.neg {
            writer.text("neg").boolean(true);
        }
        if let Some(signature) = &self.signature {
            writer.text("sig").bytes(signature);
        }
        writer.text("src").text(&self.src);
        writer.text("uri").text(&self.uri);
        writer.text("val").text(&self.val);
        writer.text("ver").unsigned(1);
    }
}
