//! What was read from one ZFS dataset and written to it.
//!
//! The file that says so is named by a number that cannot be told from the dataset's name, so that
//! it is searched for among those of its pool, of which there may be thousands. A
//! [`DatasetReader`] does that once, and again when the file is gone or speaks of another dataset:
//! numbers are given away anew after an export or a rename.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::super::SampleError;
use super::super::text::{Shown, TextFile};
use super::kstat::{self, DatasetIo};

/// Most files of a pool that are looked at in one search, and most names that are read on the way
/// to them.
pub(super) const OBJSETS_MAX: usize = 16 << 10;
const NAMES_MAX: usize = 2 * OBJSETS_MAX;

/// Most calls between two searches that find nothing. The first one is repeated at the next call;
/// then the pauses double up to this.
const PAUSE_CALLS_MAX: u32 = 32;

/// A row is printed in one piece; the longest has a dataset's name, of at most 255 bytes.
const ROW_BYTES_MAX: usize = 512;

/// The reader of one dataset, for itself: it shares nothing with those of other datasets.
///
/// To read may take as long as ZFS wants, a search through a large pool a second.
#[derive(Debug)]
pub(in crate::sample) struct DatasetReader {
    /// The directory of its pool.
    pool: PathBuf,
    dataset: Box<[u8]>,
    /// The file that was found to be its own.
    file: Option<TextFile>,
    /// Why the last search found nothing, while the next one has to wait.
    miss: Option<SampleError>,
    /// Calls still to be answered without a search, and how many after the next miss.
    wait: u32,
    pause: u32,
}

impl DatasetReader {
    /// Reads `dataset`, such as `tank/store`, below `procfs`.
    pub(in crate::sample) fn new(procfs: &Path, dataset: &[u8]) -> Self {
        let pool = dataset.split(|byte| *byte == b'/').next().unwrap_or_default();
        Self {
            pool: directory_of(procfs).join(OsStr::from_bytes(pool)),
            dataset: dataset.into(),
            file: None,
            miss: None,
            wait: 0,
            pause: 0,
        }
    }

    /// What was read and written until now.
    ///
    /// # Errors
    ///
    /// That of the dataset's file, if it has one that is not understood. Otherwise
    /// [`SampleError::Missing`] when no file is that of the dataset, [`SampleError::TooMany`] when
    /// there are more than are looked at, and the error of a file that could not be read if it
    /// might have been the one.
    pub(in crate::sample) fn read(&mut self) -> Result<DatasetIo, SampleError> {
        if let Some(file) = &mut self.file {
            match read_of(file, &self.dataset) {
                Ok(Some(io)) => return Ok(io),
                Err(error) if !error.is_io() => return Err(error),
                // Another dataset's by now, or gone.
                Ok(None) | Err(_) => self.file = None,
            }
        }
        if let Some(error) = self.miss.filter(|_| self.wait > 0) {
            self.wait -= 1;
            return Err(error);
        }
        match self.search() {
            Ok((file, io)) => {
                self.file = Some(file);
                (self.miss, self.pause) = (None, 0);
                Ok(io)
            }
            Err(error) => {
                self.miss = Some(error);
                self.wait = self.pause;
                self.pause = (self.pause * 2).clamp(1, PAUSE_CALLS_MAX);
                Err(error)
            }
        }
    }

    /// Finds the dataset's file among those of its pool.
    fn search(&self) -> Result<(TextFile, DatasetIo), SampleError> {
        let names = fs::read_dir(&self.pool).map_err(open_error)?;
        let mut missed = SampleError::Missing;
        let mut looked_at = 0;
        for (index, name) in names.enumerate() {
            // What could not be listed is not there to be read.
            let Ok(name) = name.map(|entry| entry.file_name()) else { break };
            if looked_at == OBJSETS_MAX || index == NAMES_MAX {
                return Err(SampleError::TooMany);
            }
            if !name.as_bytes().starts_with(b"objset-") {
                continue;
            }
            looked_at += 1;
            let shown = Shown::ByLine { longest: ROW_BYTES_MAX };
            let mut file = TextFile::new(self.pool.join(name), shown);
            match read_of(&mut file, &self.dataset) {
                Ok(Some(io)) => return Ok((file, io)),
                Ok(None) => {}
                Err(error) => missed = error,
            }
        }
        Err(missed)
    }
}

/// The directory that has one for each pool.
pub(super) fn directory_of(procfs: &Path) -> PathBuf {
    procfs.join("spl/kstat/zfs")
}

/// The error of a directory that could not be listed.
pub(super) fn open_error(error: io::Error) -> SampleError {
    SampleError::Open(error.raw_os_error().unwrap_or_default())
}

/// What `file` says of `dataset`; `None` if it speaks of another one.
fn read_of(file: &mut TextFile, dataset: &[u8]) -> Result<Option<DatasetIo>, SampleError> {
    file.close_if_removed();
    let objset = kstat::objset(file.read()?)?;
    Ok((objset.dataset == dataset).then_some(objset.io))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// A `/proc` with pools in it, gone when dropped.
    struct Proc(PathBuf);

    impl Proc {
        fn new() -> Self {
            static NUMBER: AtomicU32 = AtomicU32::new(0);
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let name = format!("tachograph-zfs-dataset-{}-{number}", std::process::id());
            let proc = Self(std::env::temp_dir().join(name));
            fs::create_dir_all(directory_of(&proc.0)).expect("a temporary directory");
            proc
        }

        fn path(&self, pool: &str, id: u32) -> PathBuf {
            directory_of(&self.0).join(pool).join(format!("objset-{id:#x}"))
        }

        /// Puts a file whose numbers tell it from others.
        fn put(&self, pool: &str, id: u32, dataset: &str, nread: u64) {
            let path = self.path(pool, id);
            fs::create_dir_all(path.parent().expect("a pool")).expect("a temporary directory");
            fs::write(path, text(dataset, nread)).expect("a temporary file");
        }

        fn remove(&self, pool: &str, id: u32) {
            fs::remove_file(self.path(pool, id)).expect("it was there");
        }

        fn reader(&self, dataset: &str) -> DatasetReader {
            DatasetReader::new(&self.0, dataset.as_bytes())
        }
    }

    impl Drop for Proc {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn text(dataset: &str, nread: u64) -> String {
        format!(
            "1 1 0x01 5 1616 1 2\nname type data\ndataset_name 7 {dataset}\n\
             writes 4 {}\nnwritten 4 {}\nreads 4 {}\nnread 4 {nread}\n",
            nread + 1,
            nread + 2,
            nread + 3,
        )
    }

    fn io(nread: u64) -> Result<DatasetIo, SampleError> {
        Ok(DatasetIo { nread, writes: nread + 1, nwritten: nread + 2, reads: nread + 3 })
    }

    /// What is read until it is something else than `before`.
    fn in_the_end(
        reader: &mut DatasetReader,
        before: Result<DatasetIo, SampleError>,
    ) -> Result<DatasetIo, SampleError> {
        let mut reads = (0..=PAUSE_CALLS_MAX).map(|_| reader.read());
        reads.find(|read| *read != before).unwrap_or(before)
    }

    #[test]
    fn dataset_is_found_among_those_of_its_pool() {
        let proc = Proc::new();
        for (id, dataset) in ["tank", "tank/a", "tank/a/b", "tank/a b"].into_iter().enumerate() {
            proc.put("tank", id as u32 + 0x30, dataset, id as u64 * 100);
        }
        proc.put("other", 0x31, "tank/a", 777);
        proc.put("other", 0x30, "other/a", 900);
        for (dataset, nread) in
            [("tank", 0), ("tank/a", 100), ("tank/a/b", 200), ("tank/a b", 300), ("other/a", 900)]
        {
            let mut reader = proc.reader(dataset);
            assert_eq!([reader.read(), reader.read()], [io(nread), io(nread)], "{dataset}");
        }
        for wrong in ["tank/", "tank/b", "other", "tank/a/b/c", ""] {
            assert_eq!(proc.reader(wrong).read(), Err(SampleError::Missing), "{wrong}");
        }
        assert!(matches!(proc.reader("absent/x").read(), Err(SampleError::Open(2))));
    }

    #[test]
    fn readers_of_two_pools_do_not_disturb_each_other() {
        let proc = Proc::new();
        let pools = ["tank", "rpool"];
        let mut readers = pools.map(|pool| proc.reader(&format!("{pool}/store")));
        for turn in 0..100 {
            for (pool, reader) in pools.iter().zip(&mut readers) {
                // The same number in both.
                proc.put(pool, 0x36, &format!("{pool}/store"), turn + pool.len() as u64);
                assert_eq!(reader.read(), io(turn + pool.len() as u64));
            }
        }
    }

    #[test]
    fn file_is_kept_open_and_nothing_else_is_looked_at() {
        let proc = Proc::new();
        proc.put("tank", 0x10, "tank/store", 1);
        let mut reader = proc.reader("tank/store");
        assert_eq!(reader.read(), io(1));
        // A search would find this one too, or be held up by it.
        proc.put("tank", 0x1, "tank/store", 50);
        fs::create_dir(proc.path("tank", 0x2)).expect("a temporary directory");
        for nread in 2..50 {
            proc.put("tank", 0x10, "tank/store", nread);
            assert_eq!(reader.read(), io(nread));
        }
    }

    #[test]
    fn pool_that_is_exported_and_imported_is_found_again() {
        let proc = Proc::new();
        proc.put("tank", 0x10, "tank/store", 1);
        proc.put("tank", 0x11, "tank/other", 900);
        let mut reader = proc.reader("tank/store");
        assert_eq!(reader.read(), io(1));
        fs::remove_dir_all(directory_of(&proc.0).join("tank")).expect("it was there");
        for _ in 0..10 {
            assert_eq!(reader.read(), Err(SampleError::Open(2)));
        }
        proc.put("tank", 0x10, "tank/other", 7);
        proc.put("tank", 0x20, "tank/store", 8);
        assert_eq!(in_the_end(&mut reader, Err(SampleError::Open(2))), io(8));
        // At once, if it was back before anybody looked.
        proc.put("tank", 0x20, "tank/other", 9);
        proc.put("tank", 0x10, "tank/store", 10);
        assert_eq!(reader.read(), io(10));
        proc.remove("tank", 0x10);
        proc.put("tank", 0x30, "tank/store", 11);
        assert_eq!(reader.read(), io(11));
    }

    #[test]
    fn renamed_dataset_is_not_read_by_its_old_name() {
        let proc = Proc::new();
        proc.put("tank", 0x10, "tank/store", 1);
        let mut reader = proc.reader("tank/store");
        assert_eq!(reader.read(), io(1));
        proc.put("tank", 0x10, "tank/kept", 2);
        assert_eq!(reader.read(), Err(SampleError::Missing));
        assert_eq!(proc.reader("tank/kept").read(), io(2));
        proc.put("tank", 0x44, "tank/store", 3);
        assert_eq!(in_the_end(&mut reader, Err(SampleError::Missing)), io(3));
    }

    #[test]
    fn files_that_are_damaged_do_not_end_a_search() {
        let proc = Proc::new();
        let whole = text("tank/store", 1);
        for cut in 0..whole.len() {
            proc.put("tank", cut as u32, "", 0);
            let path = proc.path("tank", cut as u32);
            fs::write(path, &whole[..cut]).expect("a temporary file");
        }
        fs::create_dir(proc.path("tank", 0x7001)).expect("a temporary directory");
        let dangling = proc.path("tank", 0x7002);
        std::os::unix::fs::symlink("nowhere", dangling).expect("a temporary link");
        assert!(proc.reader("tank/store").read().is_err());
        proc.put("tank", 0x7003, "tank/store", 5);
        assert_eq!(proc.reader("tank/store").read(), io(5));
    }

    #[test]
    fn file_that_is_cut_short_gives_an_error_and_stays_the_dataset_s() {
        let proc = Proc::new();
        proc.put("tank", 0x10, "tank/store", 123);
        let mut reader = proc.reader("tank/store");
        let whole = text("tank/store", 123);
        for cut in 1..whole.len() {
            fs::write(proc.path("tank", 0x10), &whole).expect("a temporary file");
            assert_eq!(reader.read(), io(123));
            fs::write(proc.path("tank", 0x10), &whole[..cut]).expect("a temporary file");
            assert_eq!(reader.read(), Err(SampleError::Truncated), "after {cut}");
        }
    }

    #[test]
    fn searches_that_find_nothing_become_rare() {
        let proc = Proc::new();
        proc.put("tank", 0x10, "tank/store", 1);
        let mut reader = proc.reader("tank/absent");
        let mut searches = Vec::new();
        for call in 0..200 {
            let may_search = reader.wait == 0;
            assert_eq!(reader.read(), Err(SampleError::Missing));
            if may_search {
                searches.push(call);
            }
        }
        assert_eq!(searches, [0, 1, 3, 6, 11, 20, 37, 70, 103, 136, 169]);
        proc.put("tank", 0x11, "tank/absent", 2);
        assert_eq!(in_the_end(&mut reader, Err(SampleError::Missing)), io(2));
    }

    #[test]
    fn search_through_thousands_of_datasets_is_bounded() {
        let proc = Proc::new();
        for id in 0..4000 {
            proc.put("tank", id, &format!("tank/{id}"), id.into());
        }
        for id in [0_u32, 1999, 3999] {
            assert_eq!(proc.reader(&format!("tank/{id}")).read(), io(id.into()));
        }
        assert_eq!(proc.reader("tank/absent").read(), Err(SampleError::Missing));
        let first = proc.path("tank", 0);
        for id in 4000..OBJSETS_MAX as u32 + 1 {
            fs::hard_link(&first, proc.path("tank", id)).expect("a temporary file");
        }
        assert_eq!(proc.reader("tank/absent").read(), Err(SampleError::TooMany));
    }
}
