//! A copy of the workspace that may be broken: the working copy is only read.

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder with a copy of the workspace and a target folder of its own, kept between runs.
pub(crate) struct Scratch {
    root: PathBuf,
    logs: PathBuf,
    _lock: File,
}

impl Scratch {
    /// Brings the copy up to date with the working copy, changes that are not committed included.
    /// Files that are the same are left alone, so that little is built again.
    pub(crate) fn prepare(workspace: &Path, folder: &Path) -> Result<Self, String> {
        let said = |what: &str, path: &Path, error: io::Error| {
            format!("cannot {what} {}: {error}", path.display())
        };
        let (root, logs) = (folder.join("workspace"), folder.join("logs"));
        for folder in [&root, &logs] {
            fs::create_dir_all(folder).map_err(|error| said("make", folder, error))?;
        }
        let lock_path = folder.join("lock");
        let lock = File::create(&lock_path).map_err(|error| said("open", &lock_path, error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(format!("{} is in use by another run", folder.display()));
            }
            Err(TryLockError::Error(error)) => return Err(said("lock", &lock_path, error)),
        }
        let names = listed(workspace)?;
        let list_path = folder.join("files");
        let before = fs::read_to_string(&list_path).unwrap_or_default();
        for gone in before.lines().filter(|name| !names.contains(*name)) {
            // Whatever is gone already need not be removed.
            let _ = fs::remove_file(root.join(gone));
        }
        for name in &names {
            let (from, to) = (workspace.join(name), root.join(name));
            let wanted = fs::read(&from).map_err(|error| said("read", &from, error))?;
            if fs::read(&to).is_ok_and(|found| found == wanted) {
                continue;
            }
            let folder = to.parent().unwrap_or(&root);
            fs::create_dir_all(folder).map_err(|error| said("make", folder, error))?;
            fs::copy(&from, &to).map_err(|error| said("write", &to, error))?;
        }
        let list: String = names.iter().map(|name| format!("{name}\n")).collect();
        fs::write(&list_path, list).map_err(|error| said("write", &list_path, error))?;
        Ok(Self {
            root,
            logs,
            _lock: lock,
        })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn target(&self) -> PathBuf {
        self.root.with_file_name("target")
    }

    /// The file for the output of a mutant's tests.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.txt"))
    }

    /// Writes a file of the copy. Its time is new, so that it is built again.
    pub(crate) fn write(&self, file: &str, text: &str) -> Result<(), String> {
        fs::write(self.root.join(file), text)
            .map_err(|error| format!("cannot write {file} in the copy: {error}"))
    }
}

/// The files of the working copy that are there and not ignored.
fn listed(workspace: &Path) -> Result<BTreeSet<String>, String> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "-c", "-o", "--exclude-standard"])
        .current_dir(workspace)
        .output()
        .map_err(|error| format!("cannot run git: {error}"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(format!("git cannot list the files: {text}"));
    }
    let text = String::from_utf8(output.stdout).map_err(|_| "a file name is not UTF-8")?;
    let names = text.split('\0').filter(|name| !name.is_empty());
    let names = names.filter(|name| workspace.join(name).is_file());
    Ok(names.map(str::to_owned).collect())
}
