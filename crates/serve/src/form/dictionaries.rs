use jetwash::{Dictionary, Jetstream};

use crate::form::format::Shape;

/// The dictionaries that events may be compressed with.
#[derive(Clone)]
pub(crate) struct Dictionaries {
    jetstream: Jetstream,
    binary: Option<Dictionary>,
    /// The one for messages of version 2, if they have one of their own.
    v2: Option<Dictionary>,
}

impl Dictionaries {
    pub(crate) const fn new(
        jetstream: Jetstream,
        binary: Option<Dictionary>,
        v2: Option<Dictionary>,
    ) -> Self {
        Self {
            jetstream,
            binary,
            v2,
        }
    }

    /// The dictionary in use for events of a shape.
    pub(crate) fn in_use(&self, shape: Shape) -> Option<Dictionary> {
        match shape {
            Shape::Binary => self.binary.clone(),
            Shape::V0 | Shape::V1 | Shape::V1WithCursor => self.jetstream.dictionary(),
            Shape::V2 => self.v2.clone().or_else(|| self.jetstream.dictionary()),
        }
    }

    /// The dictionary with this number, if it is in use or events in the log are compressed with
    /// it.
    pub(crate) fn with_id(&self, id: u32) -> Option<Dictionary> {
        let in_use = [Shape::V1, Shape::Binary, Shape::V2].map(|shape| self.in_use(shape));
        let mut in_use = in_use.into_iter().flatten();
        in_use
            .find(|dictionary| dictionary.id() == id)
            .or_else(|| self.jetstream.store().dictionary(id))
    }
}
