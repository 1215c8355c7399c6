use jetwash::Kind;

/// The format of a subscriber's events: what one looks like, and what is compressed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    pub(crate) shape: Shape,
    pub(crate) compression: Compression,
    /// Whether each commit carries its verdict: the parameter `verdict`.
    pub(crate) verdicts: bool,
}

/// The shape of an event before it is compressed: the parameter `format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A line of JSON as Jetstream sent it at first. It is not served compressed.
    V0,
    /// A line of JSON as the log has it.
    V1,
    /// The same with the event's position as the field `cursor`.
    V1WithCursor,
    /// The message of Jetstream version 2.
    V2,
    /// DAG-CBOR.
    Binary,
}

impl Shape {
    /// Whether it has events of a kind. Version 1 has no syncs, and nothing else on its route does.
    /// Labels, of which only a log of labels has any, are lines alone.
    pub(crate) const fn has(self, kind: Kind) -> bool {
        match kind {
            Kind::Sync => matches!(self, Self::V2),
            Kind::Label => matches!(self, Self::V1 | Self::V1WithCursor),
            Kind::Commit | Kind::Identity | Kind::Account => true,
        }
    }

    /// Whether its events are made from the lines of the log by a
    /// [`LineEncoder`](crate::form::line_encoder::LineEncoder).
    pub(crate) const fn is_made(self) -> bool {
        matches!(self, Self::V1WithCursor | Self::V2 | Self::Binary)
    }
}

/// The parameter `compress`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    /// No compression: one message for each event.
    None,
    /// A binary message for each event, which is compressed with the server's dictionary.
    Event,
    /// Up to [`BATCH`] events that follow each other are compressed together.
    Batch,
    /// All messages to a subscriber are pieces of one zstd stream.
    Stream,
}

impl Format {
    /// JSON as the log has it.
    pub(crate) const LOG: Self = Self {
        shape: Shape::V1,
        compression: Compression::None,
        verdicts: false,
    };

    /// The format in which single events are shared by all subscribers of this one. What it lacks,
    /// which is the shape `V0` or a stream, is made for each subscriber.
    pub(crate) const fn single(self) -> Self {
        let shape = match self.shape {
            Shape::V0 | Shape::V1 => Shape::V1,
            shape => shape,
        };
        let compression = match self.compression {
            Compression::None | Compression::Stream => Compression::None,
            Compression::Event | Compression::Batch => Compression::Event,
        };
        Self {
            shape,
            compression,
            ..self
        }
    }

    /// The same shape without compression.
    pub(crate) const fn plain(self) -> Self {
        Self {
            compression: Compression::None,
            ..self
        }
    }

    /// The same events without their verdicts.
    pub(crate) const fn without_verdicts(self) -> Self {
        Self {
            verdicts: false,
            ..self
        }
    }

    /// Whether an event is made from a line of the log in less time than it takes to unpack the line.
    pub(crate) fn is_made_fast(self) -> bool {
        self.shape.is_made() && self.compression == Compression::None && !self.verdicts
    }

    /// Whether such an event is compressed by itself.
    pub(crate) fn is_compressed_fast(self) -> bool {
        self.shape.is_made() && self.compression == Compression::Event && !self.verdicts
    }

    /// Whether each event is a message of text.
    pub(crate) fn is_text(self) -> bool {
        self.shape != Shape::Binary && self.compression == Compression::None
    }

    pub(crate) fn is_batched(self) -> bool {
        self.compression == Compression::Batch
    }
}

/// The most events that are compressed together.
pub(crate) const BATCH: usize = 64;
