//! The files of the state directory, changed without a word of what people have written there.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rustix::fs::{FlockOperation, flock};
use rustix::process::geteuid;
use tachograph::rights::{ACL_FILE, SECRETS_FILE};
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table};

/// Held by whoever changes one of the files.
const LOCK_FILE: &str = ".lock";

/// Whoever may change the files of a directory: one at a time.
pub(super) struct Editor {
    dir: PathBuf,
    _lock: File,
}

impl Editor {
    /// Waits until nobody else changes them. Makes the directory if there is none.
    pub(super) fn lock(dir: &Path) -> anyhow::Result<Self> {
        let made = DirBuilder::new().recursive(true).mode(0o750).create(dir);
        made.with_context(|| format!("cannot make the state directory {}", dir.display()))?;
        let path = dir.join(LOCK_FILE);
        let locking = || format!("cannot lock {}", path.display());
        let mut options = OpenOptions::new();
        let options = options.create(true).truncate(false).write(true).mode(0o600);
        let lock = options.open(&path).with_context(locking)?;
        flock(&lock, FlockOperation::LockExclusive).with_context(locking)?;
        Ok(Self { dir: dir.to_owned(), _lock: lock })
    }

    /// Makes a file that is not there.
    pub(super) fn begin(&self, name: &'static str, text: &str) -> anyhow::Result<()> {
        Document { editor: self, name, toml: text.parse()? }.save()
    }

    /// What a file says; nothing, if it is not there.
    pub(super) fn open(&self, name: &'static str) -> anyhow::Result<Document<'_>> {
        let path = self.dir.join(name);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            text => text.with_context(|| format!("cannot read {}", path.display()))?,
        };
        let parsed = text.parse().with_context(|| format!("in {}", path.display()));
        Ok(Document { editor: self, name, toml: parsed? })
    }
}

/// A file that is being changed.
pub(super) struct Document<'a> {
    editor: &'a Editor,
    name: &'static str,
    toml: DocumentMut,
}

impl Document<'_> {
    /// The entries of a list; made, if there are none.
    pub(super) fn list(&mut self, name: &str) -> anyhow::Result<&mut ArrayOfTables> {
        let item = self.toml.entry(name).or_insert(Item::ArrayOfTables(ArrayOfTables::new()));
        let list = item.as_array_of_tables_mut();
        list.with_context(|| {
            format!("write the entries of {name} as [[{name}]] to have them changed")
        })
    }

    /// Leaves out the entries of a list that `is_gone` says yes to, and says how many they were.
    pub(super) fn remove(
        &mut self,
        name: &str,
        is_gone: impl Fn(&Table) -> bool,
    ) -> anyhow::Result<usize> {
        let list = self.list(name)?;
        let before = list.len();
        list.retain(|entry| !is_gone(entry));
        Ok(before - list.len())
    }

    /// Puts the file in the place of the one before, as a whole.
    pub(super) fn save(self) -> anyhow::Result<()> {
        let Self { editor: Editor { dir, .. }, name, toml } = self;
        let (path, fresh) = (dir.join(name), dir.join(format!("{name}.tmp")));
        let saving = || format!("cannot write {}", path.display());
        let mode = match name {
            SECRETS_FILE => 0o600,
            ACL_FILE => 0o644,
            _ => 0o640,
        };
        // What an earlier one has left, who did not come to its end.
        let _ = fs::remove_file(&fresh);
        let mut options = OpenOptions::new();
        let mut file =
            options.create_new(true).write(true).mode(mode).open(&fresh).with_context(saving)?;
        if geteuid().is_root() {
            // Who owns the directory is who reads the files.
            let owner = fs::metadata(dir).with_context(saving)?;
            fchown(&file, Some(owner.uid()), Some(owner.gid())).with_context(saving)?;
        }
        file.write_all(toml.to_string().as_bytes()).with_context(saving)?;
        file.sync_all().with_context(saving)?;
        fs::rename(&fresh, &path).with_context(saving)
    }
}

/// Whether an entry is that of an id.
pub(super) fn is_of(entry: &Table, id: &str) -> bool {
    entry.get("id").and_then(Item::as_str) == Some(id)
}
