//! A file that is being written.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use zstd::stream::write::Encoder;

/// How the files of a spool are compressed.
///
/// # Examples
///
/// ```
/// use jetwash_spool::{Compression, FileSpool, SpoolBuildError};
///
/// # let parent = tempfile::tempdir()?;
/// # let folder = parent.path().join("posts");
/// let spool = FileSpool::builder(folder).compression(Compression::Zstd(99)).build();
/// assert!(matches!(spool, Err(SpoolBuildError::Level { level: 99 })));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// Not at all: the files end in `.ndjson`.
    #[default]
    None,
    /// With zstd at this level, from 1 to 19; 3 is usual. The files end in `.ndjson.zst`.
    Zstd(i32),
}

impl Compression {
    pub(crate) const fn extension(self) -> &'static str {
        match self {
            Self::None => "ndjson",
            Self::Zstd(_) => "ndjson.zst",
        }
    }
}

/// A file under its temporary name. It becomes visible under the final one only when it is whole.
pub(crate) struct Part {
    path: PathBuf,
    writer: Writer,
    pub(crate) events: u64,
}

impl Part {
    pub(crate) fn create(path: PathBuf, compression: Compression) -> io::Result<Self> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)?;
        let counted = Counted {
            file,
            bytes: 0,
            crc: crc32fast::Hasher::new(),
        };
        let writer = match compression {
            Compression::None => Writer::Plain(BufWriter::with_capacity(BUFFER, counted)),
            Compression::Zstd(level) => Writer::Zstd(Box::new(Encoder::new(counted, level)?)),
        };
        Ok(Self {
            path,
            writer,
            events: 0,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn line(&mut self, json: &[u8]) -> io::Result<()> {
        let writer: &mut dyn Write = match &mut self.writer {
            Writer::Plain(writer) => writer,
            Writer::Zstd(writer) => writer,
        };
        writer.write_all(json)?;
        writer.write_all(b"\n")?;
        self.events += 1;
        Ok(())
    }

    /// The bytes that the file has so far, but for some that the compressor holds back.
    pub(crate) fn bytes(&self) -> u64 {
        match &self.writer {
            Writer::Plain(writer) => writer.get_ref().bytes + writer.buffer().len() as u64,
            Writer::Zstd(writer) => writer.get_ref().bytes,
        }
    }

    /// Syncs everything to the disk; returns the length and the checksum.
    pub(crate) fn complete(self) -> io::Result<(u64, u32)> {
        let counted = match self.writer {
            Writer::Plain(writer) => writer.into_inner()?,
            Writer::Zstd(writer) => writer.finish()?,
        };
        counted.file.sync_all()?;
        Ok((counted.bytes, counted.crc.finalize()))
    }

    /// Removes the file, as far as that is possible.
    pub(crate) fn discard(self) {
        drop(fs::remove_file(&self.path));
    }
}

enum Writer {
    Plain(BufWriter<Counted>),
    Zstd(Box<Encoder<'static, Counted>>),
}

/// A file, with the length and checksum of what was written to it.
struct Counted {
    file: File,
    bytes: u64,
    crc: crc32fast::Hasher,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.crc.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

const BUFFER: usize = 256 << 10;
