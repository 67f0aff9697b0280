//! A directory in memory for the rings that a target writes: one per thread, used again by the next
//! input and removed with the thread.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::{fs, process};

struct MemoryDir(PathBuf);

impl MemoryDir {
    fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = PathBuf::from(format!("/dev/shm/tachograph-fuzz-{}-{count}", process::id()));
        let made = fs::DirBuilder::new().mode(0o700).create(&path);
        made.expect("/dev/shm can be written to");
        Self(path)
    }
}

impl Drop for MemoryDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

thread_local! {
    static DIR: MemoryDir = MemoryDir::new();
}

/// Runs `f` in this thread's directory, which is empty to begin with.
pub fn with<T>(f: impl FnOnce(&Path) -> T) -> T {
    DIR.with(|dir| {
        for entry in fs::read_dir(&dir.0).expect("the directory is there") {
            let path = entry.expect("listed").path();
            fs::remove_file(&path).expect("only files are made in it");
        }
        f(&dir.0)
    })
}
