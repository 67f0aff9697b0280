//! How a writer begins: it takes the lane, looks at the ring that lies there, and goes on in it or
//! makes a new one.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use super::directory::Entry;
use super::file::RingFile;
use super::layout;
use super::lock::{LockError, WriterLock, hold_inode};
use super::make::{Entries, Make, Need, Past, Place, boot_id};
use super::map::WriteMap;
use super::place::{RunDir, own_uid};
use super::recover::{self, Found, Slots};
use super::writer::{WriteError, Writer, WriterOptions, failed};
use super::{FormatError, Header, Ring, RingKind, unfit_name};
use crate::record::{Schema, Series};

/// What became of the file that lay in the ring's place; for the log.
#[derive(Debug)]
#[non_exhaustive]
pub enum Before {
    /// There was none.
    Nothing,
    /// Its history is kept, in place or in a new file.
    History {
        /// Records that are kept.
        records: u64,
        /// Slots whose content no writer had put there; they have been emptied.
        discarded: u64,
        /// Whether the same file goes on, so that attached readers need not even reopen.
        in_place: bool,
    },
    /// It was made before the machine last started, so its clock is not ours: begun anew.
    OtherBoot,
    /// It was no ring that could be gone on with, and has been moved aside.
    SetAside {
        /// Where it is now.
        path: PathBuf,
        /// What was wrong with it.
        error: FormatError,
    },
}

/// A lane whose lock is held and whose old ring, if there is one, has been looked at.
///
/// Between [`Opening::of`] and [`Opening::start`] the caller learns which series had which columns
/// and says which it wants now.
#[derive(Debug)]
pub struct Opening {
    dir: RunDir,
    lane: String,
    kind: RingKind,
    lock: WriterLock,
    old: Option<Old>,
    before: Before,
}

#[derive(Debug)]
struct Old {
    file: File,
    ring: Ring<WriteMap>,
    entries: Vec<Entry>,
    slots: Slots,
    found: Found,
}

impl Opening {
    /// Takes the lane's lock, clears away what a killed writer left half made, and recovers the old
    /// ring: its head is found by looking at every slot.
    ///
    /// # Errors
    ///
    /// [`WriteError::Locked`] when another writer has the lane, [`WriteError::OtherKind`] when an
    /// application's ring lies there, [`WriteError::Io`].
    pub fn of(dir: &RunDir, lane: &str) -> Result<Self, WriteError> {
        Self::of_kind(dir, lane, RingKind::Lane)
    }

    /// The same for an application's own ring, which is named like a lane. [`Producer`] does all
    /// that such a ring needs.
    ///
    /// # Errors
    ///
    /// [`WriteError::Name`] when no application's ring can have this name,
    /// [`WriteError::OtherKind`] when a recorder's lane has it, and as [`Opening::of`].
    ///
    /// [`Producer`]: super::Producer
    pub fn of_application(dir: &RunDir, name: &str) -> Result<Self, WriteError> {
        if let Some(reason) = unfit_name(name) {
            return Err(WriteError::Name { name: name.to_owned(), reason });
        }
        Self::of_kind(dir, name, RingKind::Application)
    }

    fn of_kind(dir: &RunDir, lane: &str, kind: RingKind) -> Result<Self, WriteError> {
        let lock_path = dir.lock(lane);
        let lock = WriterLock::take(&lock_path).map_err(|error| match error {
            LockError::Held(holder) => WriteError::Locked { path: lock_path.clone(), holder },
            LockError::Io(source) => failed(&lock_path, "lock")(source),
        })?;
        remove_unfinished(dir, lane);
        let path = dir.ring(lane);
        let mut found = open_old(&path)?;
        if let Some((_, ring)) = &mut found
            && let Ok(Header { compatible_flags, .. }) = ring.as_ref().map(Ring::header)
            && *compatible_flags != kind.compatible_flags()
            && unfit_name(lane).is_some()
        {
            // No application has put it there, and it must not keep the recorder from its lane.
            let value = *compatible_flags;
            *ring = Err(FormatError::Field { name: "compatible_flags", value });
        }
        let (old, before) = match found {
            None => (None, Before::Nothing),
            Some((_, Err(error))) => (None, set_aside(&path, error)?),
            Some((_, Ok(ring))) if ring.header().kind() != kind => {
                return Err(WriteError::OtherKind { path, found: ring.header().kind() });
            }
            Some((_, Ok(ring))) if ring.header().boot_id != boot_id() => (None, Before::OtherBoot),
            Some((file, Ok(ring))) => {
                let slots = Slots::look(&ring);
                let found = slots.find();
                if found.resume_after < layout::RESUME_MAX / 2 {
                    let mut entries: Vec<_> = ring.directory().iter().cloned().collect();
                    end_unsound(&mut entries, found.resume_after);
                    (Some(Old { file, ring, entries, slots, found }), Before::Nothing)
                } else {
                    // Nobody has counted so far, and who goes on from there does not get far.
                    let error = FormatError::Field { name: "head", value: found.resume_after };
                    (None, set_aside(&path, error)?)
                }
            }
        };
        Ok(Self { dir: dir.clone(), lane: lane.to_owned(), kind, lock, old, before })
    }

    /// The series that lived when the former writer ended, with their columns.
    pub fn live_series(&self) -> impl Iterator<Item = (usize, Series)> {
        let entries = self.old.iter().flat_map(|old| &old.entries);
        entries.filter(|entry| entry.lives()).map(|entry| (entry.column, entry.series.clone()))
    }

    /// Starts to write the series of `schema`: in the old file where its sizes still fit, in a new
    /// one with the old one's history otherwise.
    ///
    /// # Errors
    ///
    /// [`WriteError`]. Nothing recorded is lost: the old file stays as it is.
    pub fn start(
        self,
        options: &WriterOptions,
        schema: &mut Schema,
    ) -> Result<(Writer, Before), WriteError> {
        let Self { dir, lane, kind, lock, old, before } = self;
        let make = Make::of(Place::Named(dir, lane), kind, options);
        let Make { slot_count, interval_ns, .. } = make;
        let Some(old) = old else {
            let never = AtomicBool::new(false);
            let built = make.build(&Need::of(schema), None, 0, &never)?;
            let mut writer = Writer::over(built.file, make, Some(lock), 0, 1);
            writer.begin(schema)?;
            return Ok((writer, before));
        };
        let head = old.found.head;
        let epoch = recover::next_epoch(&old.ring, head);
        let geometry = old.ring.geometry();
        // What a newer version has put into its file, this one would not keep right.
        let fits = old.ring.header().version == layout::VERSION
            && geometry.slot_count == slot_count
            && old.ring.header().interval_ns == interval_ns
            && geometry.column_capacity >= schema.width();
        let in_place = fits && hold_inode(&old.file);
        let (mut found, last) = (old.found, recover::last_run(&old.ring, head));
        let mut writer = if in_place {
            let mode = fs::Permissions::from_mode(make.mode);
            old.file.set_permissions(mode).map_err(failed(&make.path(), "set the mode of"))?;
            recover::clean(&old.ring, &old.slots, &found);
            let file = RingFile::of(old.file, old.ring, old.entries, found.resume_after);
            Writer::over(file, make, Some(lock), found.resume_after, epoch)
        } else {
            let entry = |index: usize| old.entries.get(index).cloned();
            let entries = Entries { count: old.entries.len(), entry: &entry };
            let past = Past { ring: &old.ring, entries };
            let never = AtomicBool::new(false);
            let built = make.build(&Need::of(schema), Some(&past), head, &never)?;
            let slots = Slots::look(&built.file.ring);
            recover::clean(&built.file.ring, &slots, &found);
            // Another number of slots keeps more or fewer.
            found.records = slots.agreeing(found.resume_after);
            let mut writer = Writer::over(built.file, make, Some(lock), found.resume_after, epoch);
            writer.retire = Some(old.ring);
            writer
        };
        if let Some(last) = last {
            (writer.last_realtime_ns, writer.run_first) = last;
        }
        writer.begin(schema)?;
        let Found { records, discarded, .. } = found;
        let in_place = in_place && writer.rollovers == 0;
        Ok((writer, Before::History { records, discarded, in_place }))
    }
}

/// Opens the file in the ring's place, if there is one.
#[expect(clippy::type_complexity, reason = "a file with what it decodes to, used once")]
fn open_old(
    path: &Path,
) -> Result<Option<(File, Result<Ring<WriteMap>, FormatError>)>, WriteError> {
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags((rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits() as i32)
        .open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(path, "open")(error)),
    };
    let meta = file.metadata().map_err(failed(path, "look at"))?;
    if !meta.is_file() || meta.uid() != own_uid() {
        let kind = io::Error::other("it is not a regular file of this user");
        return Err(failed(path, "write to")(kind));
    }
    if meta.len() < layout::HEADER_BYTES {
        return Ok(Some((file, Err(FormatError::NotARing))));
    }
    let map = WriteMap::of(&file, meta.len()).map_err(failed(path, "map"))?;
    let ring = Ring::decode(map).and_then(|ring| {
        // A file that was cut and grown again has holes: stores into it could still fail.
        let geometry = *ring.geometry();
        let allocated = meta.blocks().saturating_mul(512);
        let whole = allocated >= geometry.file_bytes;
        let truncated = FormatError::Truncated { stated: geometry.file_bytes, found: allocated };
        if whole { Ok(ring) } else { Err(truncated) }
    });
    Ok(Some((file, ring)))
}

fn set_aside(path: &Path, error: FormatError) -> Result<Before, WriteError> {
    let aside = path.with_extension("ring.damaged");
    fs::rename(path, &aside).map_err(failed(path, "move aside"))?;
    Ok(Before::SetAside { path: aside, error })
}

/// A damaged directory may name two live series of one column, of which the first is believed, or
/// series of records that are still to come. None of these may speak for what is published next.
fn end_unsound(entries: &mut [Entry], head: u64) {
    let mut columns = BTreeSet::new();
    for entry in entries {
        let sound = if entry.lives() {
            entry.first <= head + 1 && columns.insert(entry.column)
        } else {
            entry.last <= head || entry.last < entry.first
        };
        if !sound {
            entry.last = if entry.first > head { entry.first - 1 } else { head };
        }
    }
}

/// Files that a writer was building when it was killed.
fn remove_unfinished(dir: &RunDir, lane: &str) {
    let _ = fs::remove_file(dir.ring(lane).with_extension("ring.tmp"));
}
