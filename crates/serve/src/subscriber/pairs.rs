use percent_encoding::percent_decode;

/// The parameters of a query string, in order, as Go's `net/url` splits it: a piece with a
/// semicolon or a bad escape is left out, a plus sign is a space.
#[derive(Debug)]
pub(crate) struct Pairs {
    pairs: Vec<(String, String)>,
    /// Whether no piece was left out.
    pub(crate) is_whole: bool,
}

impl Pairs {
    pub(crate) fn parse(query: &str) -> Self {
        let pieces = query.split('&').filter(|piece| !piece.is_empty());
        let parsed: Vec<_> = pieces.map(parse_piece).collect();
        Self {
            is_whole: parsed.iter().all(Option::is_some),
            pairs: parsed.into_iter().flatten().collect(),
        }
    }

    /// All values of a parameter.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let named = self.pairs.iter().filter(|(key, _)| key == name);
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// The first value of a parameter; empty without one.
    pub(crate) fn first(&self, name: &str) -> &str {
        let found = self.pairs.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.pairs.iter().any(|(key, _)| key == name)
    }
}

fn parse_piece(piece: &str) -> Option<(String, String)> {
    if piece.contains(';') {
        return None;
    }
    let (key, value) = piece.split_once('=').unwrap_or((piece, ""));
    Some((unescape(key)?, unescape(value)?))
}

fn unescape(text: &str) -> Option<String> {
    let is_hex = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|&byte| byte == b'%') {
        if !is_hex(rest.get(at + 1)) || !is_hex(rest.get(at + 2)) {
            return None;
        }
        rest = &rest[at + 3..];
    }
    let text = text.replace('+', " ");
    Some(
        percent_decode(text.as_bytes())
            .decode_utf8_lossy()
            .into_owned(),
    )
}
