use memchr::memchr2;

/// A line of Jetstream version 1 that is being read from its start, piece by piece.
pub(crate) struct LineHead<'a> {
    line: &'a [u8],
    position: usize,
}

impl<'a> LineHead<'a> {
    pub(crate) const fn new(line: &'a [u8]) -> Self {
        Self { line, position: 0 }
    }

    pub(crate) const fn position(&self) -> usize {
        self.position
    }

    pub(crate) const fn error(&self) -> Unexpected {
        Unexpected {
            offset: self.position,
        }
    }

    /// All that has not been read.
    pub(crate) fn bytes(&self) -> &'a [u8] {
        let rest = self.line.get(self.position..);
        debug_assert!(rest.is_some(), "a position beyond the line");
        rest.unwrap_or_default()
    }

    pub(crate) fn literal(&mut self, expected: &[u8]) -> Result<(), Unexpected> {
        if !self.bytes().starts_with(expected) {
            return Err(self.error());
        }
        self.position += expected.len();
        Ok(())
    }

    /// Reads a string, quotes included.
    pub(crate) fn string(&mut self) -> Result<&'a [u8], Unexpected> {
        let bytes = self.bytes();
        let (Some(b'"'), mut from) = (bytes.first(), 1) else {
            return Err(self.error());
        };
        loop {
            let rest = bytes.get(from..).unwrap_or_default();
            let found = memchr2(b'"', b'\\', rest).ok_or_else(|| self.error())?;
            if rest[found] == b'"' {
                let string = &bytes[..=from + found];
                self.position += string.len();
                return Ok(string);
            }
            // Over what is escaped, which may be a quote.
            from += found + 2;
        }
    }

    /// Reads decimal digits, of which there must be one.
    pub(crate) fn digits(&mut self) -> Result<&'a [u8], Unexpected> {
        let bytes = self.bytes();
        let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit());
        match digits.count() {
            0 => Err(self.error()),
            count => {
                self.position += count;
                Ok(&bytes[..count])
            }
        }
    }
}

/// The line does not continue as it has to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unexpected {
    /// The first byte that does not fit.
    pub(crate) offset: usize,
}
