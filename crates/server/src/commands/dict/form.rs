use jetwash::event::BinaryEncoder;

/// The form of events that a dictionary is for: JSON, or binary.
#[derive(Debug)]
pub(super) struct Form {
    encoder: Option<BinaryEncoder>,
}

impl Form {
    pub(super) fn new(is_binary: bool) -> Self {
        Self {
            encoder: is_binary.then(BinaryEncoder::new),
        }
    }

    /// Returns the event of a line as it is compressed; `None` if it has no such form.
    pub(super) fn of(&mut self, line: &str) -> Option<Vec<u8>> {
        let Some(encoder) = &mut self.encoder else {
            return Some(line.into());
        };
        let mut event = Vec::new();
        encoder.encode_changed(line, &mut event).ok()?;
        Some(event)
    }
}
