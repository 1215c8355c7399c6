use jetwash_cbor::{CborReader, Cid, CidError, Link, read_varint};
use thiserror::Error;

/// A CAR file of version 1, borrowed: a header with roots, then blocks in any order.
///
/// Nothing is indexed and nothing hashed until asked for. Duplicate and unlinked blocks are legal.
///
/// Source: the CAR specification, version 1, and the repository specification.
///
/// # Examples
///
/// ```
/// use jetwash_cbor::{Cid, Codec, CborWriter};
/// use jetwash_frame::Car;
///
/// let block = [0xa0];
/// let cid = Cid::of(Codec::DagCbor, &block);
/// let mut header = CborWriter::new();
/// header.map(2).text("roots").array(1).link(&cid).text("version").unsigned(1);
/// let header = header.into_bytes();
/// let mut bytes = vec![header.len() as u8];
/// bytes.extend(&header);
/// bytes.push(36 + block.len() as u8);
/// bytes.extend(cid.as_bytes());
/// bytes.extend(block);
///
/// let car = Car::parse(&bytes)?;
/// assert_eq!(car.root(), cid.as_link());
/// let found = car.find(cid.as_link())?.unwrap();
/// assert_eq!(found.verify()?, cid);
/// assert_eq!(found.data, block);
/// # Ok::<(), jetwash_frame::CarError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Car<'a> {
    root: Link<'a>,
    roots: usize,
    bytes: &'a [u8],
    first_block: usize,
}

impl<'a> Car<'a> {
    /// Reads the header. The blocks are checked as they are walked.
    ///
    /// # Errors
    ///
    /// When the header is malformed, of another version, or names no root.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, CarError> {
        let (length, rest) = read_varint(bytes).ok_or(CarError::Varint { offset: 0 })?;
        let start = bytes.len() - rest.len();
        let header = usize::try_from(length)
            .ok()
            .and_then(|length| rest.get(..length));
        let header = header.ok_or(CarError::Cut { offset: 0 })?;
        let (root, roots) = read_header(header)?;
        Ok(Self {
            root,
            roots,
            bytes,
            first_block: start + header.len(),
        })
    }

    /// The first root: the commit object. Further roots mean nothing here.
    #[must_use]
    pub const fn root(&self) -> Link<'a> {
        self.root
    }

    /// How many roots the header names.
    #[must_use]
    pub const fn root_count(&self) -> usize {
        self.roots
    }

    /// The blocks in the order of the file. After an error there are no more.
    #[must_use]
    pub const fn blocks(&self) -> Blocks<'a> {
        Blocks {
            bytes: self.bytes,
            position: self.first_block,
        }
    }

    /// Finds the first block with that CID. It walks the file: to find many blocks, index them.
    ///
    /// # Errors
    ///
    /// When a block before it is malformed.
    pub fn find(&self, cid: Link<'_>) -> Result<Option<CarBlock<'a>>, CarError> {
        for block in self.blocks() {
            let block = block?;
            if block.cid.as_bytes() == cid.as_bytes() {
                return Ok(Some(block));
            }
        }
        Ok(None)
    }
}

/// One block of a CAR file.
///
/// # Examples
///
/// ```
/// use jetwash_cbor::{Cid, Codec};
/// use jetwash_frame::{CarBlock, CarError};
///
/// let cid = Cid::of(Codec::DagCbor, &[0xa0]);
/// let block = CarBlock { cid: cid.as_link(), data: &[0xa0], offset: 0 };
/// assert_eq!(block.verify(), Ok(cid));
/// let other = CarBlock { data: &[0x80], ..block };
/// assert_eq!(other.verify(), Err(CarError::Hash { offset: 0 }));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CarBlock<'a> {
    /// The CID that the file gives the block.
    pub cid: Link<'a>,
    /// The content.
    pub data: &'a [u8],
    /// Where the block starts, in bytes from the start of the file.
    pub offset: usize,
}

impl CarBlock<'_> {
    /// Checks that the content hashes to the CID and returns the CID.
    ///
    /// # Errors
    ///
    /// When it does not, or the CID is of a kind that AT Protocol does not make.
    pub fn verify(&self) -> Result<Cid, CarError> {
        let cid = Cid::try_from(self.cid).map_err(|source| CarError::Cid {
            offset: self.offset,
            source,
        })?;
        if cid.matches(self.data) {
            Ok(cid)
        } else {
            Err(CarError::Hash {
                offset: self.offset,
            })
        }
    }
}

/// The blocks of a [`Car`], checked for their lengths and CIDs but not hashed.
///
/// # Examples
///
/// ```
/// use jetwash_frame::{Car, CarError};
///
/// /// Hashes every block of a slice and returns how many there are.
/// fn verified(car: &Car<'_>) -> Result<usize, CarError> {
///     let mut count = 0;
///     for block in car.blocks() {
///         block?.verify()?;
///         count += 1;
///     }
///     Ok(count)
/// }
/// # use jetwash_cbor::{Cid, Codec, CborWriter};
/// # let cid = Cid::of(Codec::DagCbor, &[0xa0]);
/// # let mut header = CborWriter::new();
/// # header.map(2).text("roots").array(1).link(&cid).text("version").unsigned(1);
/// # let header = header.into_bytes();
/// # let mut bytes = vec![header.len() as u8];
/// # bytes.extend(&header);
/// # bytes.push(37);
/// # bytes.extend(cid.as_bytes());
/// # bytes.push(0xa0);
/// # assert_eq!(verified(&Car::parse(&bytes)?), Ok(1));
/// # Ok::<(), CarError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Blocks<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Blocks<'a> {
    fn read(&mut self) -> Result<CarBlock<'a>, CarError> {
        let offset = self.position;
        let (length, rest) =
            read_varint(&self.bytes[offset..]).ok_or(CarError::Varint { offset })?;
        let section = usize::try_from(length)
            .ok()
            .and_then(|length| rest.get(..length));
        let section = section.ok_or(CarError::Cut { offset })?;
        let (cid, data) = match section.split_at_checked(Cid::LENGTH) {
            // Nearly every CID has this form, and then its length is known.
            Some((cid, data)) if cid.starts_with(&[1]) && cid[2..4] == [0x12, 32] => {
                (Link::from_bytes(cid), data)
            }
            _ => match Link::split_from(section) {
                Ok((cid, data)) => (Ok(cid), data),
                Err(error) => (Err(error), section),
            },
        };
        let cid = cid.map_err(|source| CarError::Cid { offset, source })?;
        self.position = self.bytes.len() - rest.len() + section.len();
        Ok(CarBlock { cid, data, offset })
    }
}

impl<'a> Iterator for Blocks<'a> {
    type Item = Result<CarBlock<'a>, CarError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.position >= self.bytes.len() {
            return None;
        }
        let block = self.read();
        if block.is_err() {
            self.position = self.bytes.len();
        }
        Some(block)
    }
}

/// Why bytes are not a usable CAR file. Offsets count from the start of the file.
///
/// # Examples
///
/// ```
/// use jetwash_frame::{Car, CarError};
///
/// // The header is said to have nine bytes, and there is one.
/// assert_eq!(Car::parse(&[9, 0xa0]).unwrap_err(), CarError::Cut { offset: 0 });
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CarError {
    /// A block's CID is malformed or of a kind that cannot be checked.
    #[error("block at byte {offset}: {source}")]
    Cid {
        /// Where the block starts.
        offset: usize,
        /// The fault.
        source: CidError,
    },
    /// The header or a block is longer than what is left of the file.
    #[error("byte {offset}: the file ends inside what starts here")]
    Cut {
        /// Where it starts.
        offset: usize,
    },
    /// A block's content does not hash to its CID.
    #[error("block at byte {offset}: the content does not match the CID")]
    Hash {
        /// Where the block starts.
        offset: usize,
    },
    /// The header is not the DAG-CBOR map it should be.
    #[error("header: {0}")]
    Header(jetwash_cbor::Error),
    /// The header lacks `roots` or `version`.
    #[error("header: `{0}` is missing")]
    HeaderField(&'static str),
    /// The header names no root.
    #[error("header: no root")]
    NoRoot,
    /// A length that is not a variable-length integer.
    #[error("byte {offset}: a malformed length")]
    Varint {
        /// Where it starts.
        offset: usize,
    },
    /// Another version than 1.
    #[error("header: version {0}, where 1 is the one supported")]
    Version(u64),
}

fn read_header(bytes: &[u8]) -> Result<(Link<'_>, usize), CarError> {
    let mut reader = CborReader::new(bytes);
    let (mut roots, mut version) = (None, None);
    let mut map = reader.map().map_err(CarError::Header)?;
    while let Some(key) = map.next_key(&mut reader).map_err(CarError::Header)? {
        match key {
            "roots" => roots = Some(read_roots(&mut reader).map_err(CarError::Header)?),
            "version" => version = Some(reader.unsigned().map_err(CarError::Header)?),
            _ => reader.skip().map_err(CarError::Header)?,
        }
    }
    reader.finish().map_err(CarError::Header)?;
    match version {
        Some(1) => {}
        Some(other) => return Err(CarError::Version(other)),
        None => return Err(CarError::HeaderField("version")),
    }
    let (first, count) = roots.ok_or(CarError::HeaderField("roots"))?;
    Ok((first.ok_or(CarError::NoRoot)?, count))
}

fn read_roots<'a>(
    reader: &mut CborReader<'a>,
) -> Result<(Option<Link<'a>>, usize), jetwash_cbor::Error> {
    let count = reader.array()?;
    let mut first = None;
    for _ in 0..count {
        let link = reader.link()?;
        first = first.or(Some(link));
    }
    Ok((first, count))
}
