//! Dictionaries in files, and the official one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jetwash::Dictionary;
use jetwash::dict::DictionaryError;
use thiserror::Error;
use tracing::info;

/// The dictionary that `--dictionary` names: a file, or `v1` for the official one, which is
/// downloaded once and then kept in `folder`.
pub(crate) fn load(name: &Path, folder: &Path) -> Result<Dictionary, LoadError> {
    if name != Path::new("v1") {
        return read(name);
    }
    let path = official_path(folder);
    if path.exists() {
        return official(read(&path)?);
    }
    info!("downloading the official dictionary from {OFFICIAL_URL}");
    let dictionary = download(OFFICIAL_URL)?;
    write(&path, dictionary.bytes()).map_err(|source| LoadError::File { path, source })?;
    Ok(dictionary)
}

/// Checks what `--dictionary` names as far as it is here: the official one need not be yet.
pub(crate) fn check(name: &Path, folder: &Path) -> Result<(), LoadError> {
    if name == Path::new("v1") && !official_path(folder).exists() {
        return Ok(());
    }
    load(name, folder).map(drop)
}

/// Where the official one is kept.
fn official_path(folder: &Path) -> PathBuf {
    folder.join("jetstream-v1.zdict")
}

/// Why there is no dictionary.
#[derive(Debug, Error)]
pub(crate) enum LoadError {
    #[error("{url}: {reason}; `--dictionary FILE` takes one that is here already")]
    Download { url: String, reason: String },
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{}: {source}", path.display())]
    Invalid {
        path: PathBuf,
        source: DictionaryError,
    },
    #[error("this is not the official dictionary: its SHA-256 is another")]
    Other,
}

/// Reads a dictionary from a file.
pub(crate) fn read(path: &Path) -> Result<Dictionary, LoadError> {
    let path = path.to_owned();
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(source) => return Err(LoadError::File { path, source }),
    };
    Dictionary::from_bytes(bytes).map_err(|source| LoadError::Invalid { path, source })
}

fn download(url: &str) -> Result<Dictionary, LoadError> {
    let failed = |reason: String| LoadError::Download {
        url: url.to_owned(),
        reason,
    };
    let agent = ureq::Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        .build()
        .new_agent();
    let mut answer = agent
        .get(url)
        .call()
        .map_err(|error| failed(error.to_string()))?;
    let bytes = answer
        .body_mut()
        .with_config()
        .limit(MAX_BYTES)
        .read_to_vec();
    let bytes = bytes.map_err(|error| failed(error.to_string()))?;
    official(Dictionary::from_bytes(bytes).map_err(|error| failed(error.to_string()))?)
}

fn official(dictionary: Dictionary) -> Result<Dictionary, LoadError> {
    if dictionary.is_official_v1() {
        Ok(dictionary)
    } else {
        Err(LoadError::Other)
    }
}

/// Writes a dictionary to a file that is there as a whole or not at all.
///
/// A folder that is missing is made.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let partial = path.with_extension("partial");
    fs::write(&partial, bytes)?;
    fs::rename(partial, path)
}

const OFFICIAL_URL: &str = "https://raw.githubusercontent.com/bluesky-social/jetstream/main/internal/subscribe/dictionaries/legacy_subscribe.zdict";
const TIMEOUT: Duration = Duration::from_secs(60);
const MAX_BYTES: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// Answers one request with these bytes.
    fn serve(bytes: Vec<u8>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]).unwrap();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len());
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(&bytes).unwrap();
        });
        url
    }

    fn trained() -> Dictionary {
        let samples: Vec<_> = (0..2000)
            .map(|n| format!("event {n} of {}", n % 7))
            .collect();
        Dictionary::train(&samples, 4096, 7).unwrap()
    }

    #[test]
    fn what_is_downloaded_must_be_the_official_one() {
        let url = serve(trained().bytes().to_vec());
        assert!(matches!(download(&url), Err(LoadError::Other)));
        let url = serve(b"not found".to_vec());
        assert!(matches!(download(&url), Err(LoadError::Download { .. })));
    }

    #[test]
    fn the_official_one_is_accepted_and_kept() {
        let Some(corpus) = jetwash_corpus::corpus("the official dictionary") else {
            return;
        };
        let url = serve(corpus.bytes("dictionaries/legacy_subscribe.zdict"));
        let dictionary = download(&url).unwrap();
        assert_eq!(dictionary.id(), 1_612_007_021);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("below").join("jetstream-v1.zdict");
        write(&path, dictionary.bytes()).unwrap();
        // No connection is made once it is there.
        let kept = load(Path::new("v1"), &folder.path().join("below")).unwrap();
        assert_eq!(kept.bytes(), dictionary.bytes());
    }

    #[test]
    fn a_kept_file_that_is_another_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("jetstream-v1.zdict"), trained().bytes()).unwrap();
        assert!(matches!(
            load(Path::new("v1"), folder.path()),
            Err(LoadError::Other)
        ));
    }
}
