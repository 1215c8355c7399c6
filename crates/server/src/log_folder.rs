//! Logs of other programs, which are looked into and not changed.

use std::env;
use std::path::{Path, PathBuf};

use jetwash::store::{OpenError, StoreCopy};

/// The folder of the event log: `folder` itself, or that of the log in a server's data folder.
pub(crate) fn of(folder: &Path) -> PathBuf {
    let log = folder.join("log");
    if !is_log(folder) && is_log(&log) {
        return log;
    }
    folder.to_owned()
}

/// Whether a folder is that of a log.
pub(crate) fn is_log(folder: &Path) -> bool {
    folder.join(MARK).exists()
}

/// Opens a copy of a log, which may be open elsewhere.
///
/// The copy is made in `work`; if that is not given, beside `folder`, where files can be linked, or in
/// the system's folder for temporary files.
pub(crate) fn open_copy(folder: &Path, work: Option<&Path>) -> Result<StoreCopy, OpenError> {
    let log = of(folder);
    if let Some(work) = work {
        return StoreCopy::open(&log, work);
    }
    let beside = folder.canonicalize().ok();
    let beside = beside.as_deref().and_then(Path::parent);
    if let Some(beside) = beside {
        match StoreCopy::open(&log, beside) {
            // Others may own it, or it cannot be written.
            Err(OpenError::Folder { path, .. }) if path == beside => {}
            opened => return opened,
        }
    }
    StoreCopy::open(&log, &env::temp_dir())
}

/// A file that every log has.
const MARK: &str = "version";
