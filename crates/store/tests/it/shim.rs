//! A record of what a process does to its files, from a preloaded library; and the disk that a power
//! failure would have left at any point of the record.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::random::Random;

/// Builds the library; `None` if there is no C compiler, which is said.
pub(crate) fn library() -> Option<&'static Path> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    BUILT.get_or_init(build).as_deref()
}

fn build() -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/shim/shim.c");
    let built =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("shim-{}.so", std::process::id()));
    let compiler = std::env::var_os("CC").unwrap_or_else(|| OsString::from("cc"));
    let status = Command::new(&compiler)
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .args([&built, &source])
        .args(["-ldl", "-lpthread"])
        .status();
    match status {
        Ok(status) => {
            assert!(status.success(), "{} does not compile", source.display());
            Some(built)
        }
        Err(error) => {
            println!("NOT RUN: there is no C compiler {compiler:?}: {error}");
            None
        }
    }
}

/// One thing that was done.
pub(crate) enum Op {
    Create {
        inode: u64,
        path: String,
    },
    Folder {
        inode: u64,
        path: String,
    },
    Write {
        inode: u64,
        offset: u64,
        bytes: Vec<u8>,
    },
    Truncate {
        inode: u64,
        length: u64,
    },
    Sync {
        inode: u64,
        path: String,
    },
    Rename {
        from: String,
        to: String,
    },
    Remove {
        path: String,
    },
}

/// Reads a record.
pub(crate) fn read_log(path: &Path) -> Vec<Op> {
    let bytes = fs::read(path).unwrap();
    let mut rest = bytes.as_slice();
    let mut ops = Vec::new();
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let line = std::str::from_utf8(&rest[..end]).unwrap();
        rest = &rest[end + 1..];
        let words: Vec<&str> = line.split(' ').collect();
        let number = |index: usize| words[index].parse().unwrap();
        let text = |index: usize| words[index].to_owned();
        ops.push(match words[0] {
            "create" => Op::Create {
                inode: number(1),
                path: text(2),
            },
            "folder" => Op::Folder {
                inode: number(1),
                path: text(2),
            },
            "truncate" => Op::Truncate {
                inode: number(1),
                length: number(2),
            },
            "sync" => Op::Sync {
                inode: number(1),
                path: text(2),
            },
            "rename" => Op::Rename {
                from: text(1),
                to: text(2),
            },
            "remove" => Op::Remove { path: text(1) },
            "write" => {
                let (bytes, after) = rest.split_at(number(3) as usize);
                rest = after;
                let bytes = bytes.to_vec();
                Op::Write {
                    inode: number(1),
                    offset: number(2),
                    bytes,
                }
            }
            other => panic!("{other} is no operation"),
        });
    }
    ops
}

/// Which names a sync makes safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    /// Those in the folder synced, and that of a file or folder synced: what ext4, XFS and Btrfs do.
    WithTheFile,
    /// Those in the folder synced, and no others: the least that POSIX allows.
    WithTheFolder,
}

/// A disk with a cache that has not been written out.
pub(crate) struct Disk {
    names: Names,
    nodes: Vec<Node>,
    inodes: BTreeMap<u64, usize>,
}

struct Node {
    parent: usize,
    kind: Kind,
}

enum Kind {
    File(Contents),
    Folder(Entries),
}

type Page = Box<[u8; PAGE]>;
const PAGE: usize = 4096;
const SECTOR: usize = 512;

#[derive(Default)]
struct Contents {
    length: u64,
    pages: BTreeMap<u64, Page>,
    safe_length: u64,
    safe: BTreeMap<u64, Page>,
    /// The contents of each page since the last sync.
    unsafe_pages: BTreeMap<u64, Vec<Page>>,
}

#[derive(Default)]
struct Entries {
    names: BTreeMap<String, usize>,
    safe: BTreeMap<String, usize>,
    pending: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Link(String, usize),
    Rename(String, String, usize),
    Unlink(String, usize),
}

/// The part that is left of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// All of it: the process was killed, and nothing else.
    All,
    /// Nothing.
    None,
    /// Anything, in any order, torn between sectors.
    Some,
}

impl Disk {
    pub(crate) fn new(names: Names) -> Self {
        let root = Node {
            parent: ROOT,
            kind: Kind::Folder(Entries::default()),
        };
        Self {
            names,
            nodes: vec![root],
            inodes: BTreeMap::new(),
        }
    }

    pub(crate) fn apply(&mut self, op: &Op) {
        match op {
            Op::Create { inode, path } => self.link(*inode, path, Kind::File(Contents::default())),
            Op::Folder { inode, path } => self.link(*inode, path, Kind::Folder(Entries::default())),
            Op::Write {
                inode,
                offset,
                bytes,
            } => self.file(*inode).write(*offset, bytes),
            Op::Truncate { inode, length } => self.file(*inode).truncate(*length),
            Op::Sync { inode, path } => self.sync(*inode, path),
            Op::Rename { from, to } => {
                let (folder, from) = self.parent_of(from);
                let (same, to) = self.parent_of(to);
                assert_eq!(folder, same, "a rename between folders is not foreseen");
                let entries = self.folder(folder);
                let node = entries.names.remove(&from).unwrap();
                entries.names.insert(to.clone(), node);
                entries.pending.push(Change::Rename(from, to, node));
            }
            Op::Remove { path } => {
                let (folder, name) = self.parent_of(path);
                let entries = self.folder(folder);
                let node = entries.names.remove(&name).unwrap();
                entries.pending.push(Change::Unlink(name, node));
            }
        }
    }

    /// Writes out what the disk would hold if the power failed now.
    pub(crate) fn fail(&self, left: Left, random: &mut Random, to: &Path) {
        self.write_folder(ROOT, left, random, to);
    }

    fn write_folder(&self, node: usize, left: Left, random: &mut Random, to: &Path) {
        fs::create_dir_all(to).unwrap();
        let Kind::Folder(entries) = &self.nodes[node].kind else {
            panic!("a file where a folder should be");
        };
        let mut names = entries.safe.clone();
        for change in &entries.pending {
            if left == Left::All || left == Left::Some && random.below(2) == 0 {
                change.apply(&mut names);
            }
        }
        for (name, node) in names {
            let to = to.join(name);
            match &self.nodes[node].kind {
                Kind::Folder(_) => self.write_folder(node, left, random, &to),
                Kind::File(contents) => contents.write_out(left, random, &to),
            }
        }
    }

    fn link(&mut self, inode: u64, path: &str, kind: Kind) {
        let (parent, name) = self.parent_of(path);
        let node = self.nodes.len();
        self.nodes.push(Node { parent, kind });
        self.inodes.insert(inode, node);
        let entries = self.folder(parent);
        entries.names.insert(name.clone(), node);
        entries.pending.push(Change::Link(name, node));
    }

    fn sync(&mut self, inode: u64, path: &str) {
        let node = match self.inodes.get(&inode) {
            Some(node) => *node,
            None => {
                assert_eq!(path, "", "a sync of something unknown");
                ROOT
            }
        };
        match &mut self.nodes[node].kind {
            Kind::File(contents) => contents.sync(),
            Kind::Folder(entries) => {
                let pending = std::mem::take(&mut entries.pending);
                pending
                    .iter()
                    .for_each(|change| change.apply(&mut entries.safe));
            }
        }
        if self.names == Names::WithTheFile {
            self.make_name_safe(node);
        }
    }

    fn make_name_safe(&mut self, mut node: usize) {
        while node != ROOT {
            let parent = self.nodes[node].parent;
            let entries = self.folder(parent);
            let pending = std::mem::take(&mut entries.pending);
            for change in pending {
                if change.node() == node {
                    change.apply(&mut entries.safe);
                } else {
                    entries.pending.push(change);
                }
            }
            node = parent;
        }
    }

    fn parent_of(&self, path: &str) -> (usize, String) {
        let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut node = ROOT;
        for name in folders.split('/').filter(|name| !name.is_empty()) {
            let Kind::Folder(entries) = &self.nodes[node].kind else {
                panic!("{path} goes through a file");
            };
            node = entries.names[name];
        }
        (node, name.to_owned())
    }

    fn folder(&mut self, node: usize) -> &mut Entries {
        match &mut self.nodes[node].kind {
            Kind::Folder(entries) => entries,
            Kind::File(_) => panic!("a file where a folder should be"),
        }
    }

    fn file(&mut self, inode: u64) -> &mut Contents {
        match &mut self.nodes[self.inodes[&inode]].kind {
            Kind::File(contents) => contents,
            Kind::Folder(_) => panic!("a folder where a file should be"),
        }
    }
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Link(name, node) => {
                names.insert(name.clone(), *node);
            }
            Self::Rename(from, to, node) => {
                names.remove(from);
                names.insert(to.clone(), *node);
            }
            Self::Unlink(name, node) => {
                if names.get(name) == Some(node) {
                    names.remove(name);
                }
            }
        }
    }

    const fn node(&self) -> usize {
        match self {
            Self::Link(_, node) | Self::Rename(_, _, node) | Self::Unlink(_, node) => *node,
        }
    }
}

impl Contents {
    fn write(&mut self, offset: u64, bytes: &[u8]) {
        let end = offset + bytes.len() as u64;
        for number in offset / PAGE as u64..end.div_ceil(PAGE as u64) {
            let start = number * PAGE as u64;
            let page = self.pages.entry(number).or_insert_with(empty);
            let (from, to) = (offset.max(start), end.min(start + PAGE as u64));
            page[(from - start) as usize..(to - start) as usize]
                .copy_from_slice(&bytes[(from - offset) as usize..(to - offset) as usize]);
            let page = page.clone();
            self.unsafe_pages.entry(number).or_default().push(page);
        }
        self.length = self.length.max(end);
    }

    fn truncate(&mut self, length: u64) {
        let kept = length.div_ceil(PAGE as u64);
        self.pages.retain(|number, _| *number < kept);
        self.unsafe_pages.retain(|number, _| *number < kept);
        let last = length % PAGE as u64;
        if last > 0
            && let Some(page) = self.pages.get_mut(&(kept - 1))
        {
            page[last as usize..].fill(0);
            let page = page.clone();
            self.unsafe_pages.entry(kept - 1).or_default().push(page);
        }
        self.length = length;
    }

    fn sync(&mut self) {
        for number in std::mem::take(&mut self.unsafe_pages).into_keys() {
            self.safe.insert(number, self.pages[&number].clone());
        }
        let kept = self.length.div_ceil(PAGE as u64);
        self.safe.retain(|number, _| *number < kept);
        self.safe_length = self.length;
    }

    fn write_out(&self, left: Left, random: &mut Random, to: &Path) {
        let file = File::create_new(to).unwrap();
        let is_new = left == Left::All || left == Left::Some && random.below(2) == 0;
        let length = if is_new {
            self.length
        } else {
            self.safe_length
        };
        file.set_len(length).unwrap();
        let write = |number: u64, page: &Page| {
            let start = number * PAGE as u64;
            let held = length.saturating_sub(start).min(PAGE as u64) as usize;
            file.write_all_at(&page[..held], start).unwrap();
        };
        if left == Left::All {
            self.pages
                .iter()
                .for_each(|(number, page)| write(*number, page));
            return;
        }
        self.safe
            .iter()
            .for_each(|(number, page)| write(*number, page));
        for (number, versions) in self.unsafe_pages.iter().filter(|_| left == Left::Some) {
            // The page as it was synced, or as it was at some time since, or torn between two.
            let mut page = self.safe.get(number).cloned().unwrap_or_else(empty);
            for version in &versions[..random.below(versions.len() as u64 + 1) as usize] {
                page.clone_from(version);
            }
            let torn = random.below((PAGE / SECTOR) as u64) as usize * SECTOR;
            if random.below(3) == 0
                && let Some(last) = versions.last()
            {
                page[..torn].copy_from_slice(&last[..torn]);
            }
            write(*number, &page);
        }
    }
}

fn empty() -> Page {
    Box::new([0; PAGE])
}

const ROOT: usize = 0;
