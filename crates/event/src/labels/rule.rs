use super::Labels;

/// A rule for the labels of an account, in a filter.
#[derive(Clone, Debug)]
pub(crate) struct LabelRule {
    labels: Labels,
    /// Without any, every value counts.
    vals: Box<[Box<str>]>,
    is_wanted: bool,
}

impl LabelRule {
    pub(crate) fn new<T: AsRef<str>>(
        labels: Labels,
        vals: impl IntoIterator<Item = T>,
        is_wanted: bool,
    ) -> Self {
        let vals = vals.into_iter().map(|val| val.as_ref().into()).collect();
        Self {
            labels,
            vals,
            is_wanted,
        }
    }

    #[inline]
    pub(crate) fn passes(&self, did: &str) -> bool {
        let counts = |val: &str| self.vals.is_empty() || self.vals.iter().any(|own| **own == *val);
        self.labels.has_any(did, |label| counts(&label.val)) == self.is_wanted
    }

    #[inline]
    pub(crate) fn version(&self) -> u64 {
        self.labels.version()
    }
}
