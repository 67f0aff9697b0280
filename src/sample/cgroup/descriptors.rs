//! How many descriptors may be kept open.
//!
//! An open file of a control group saves 4 us at each reading, and costs the kernel a page and some
//! more: 4.3 KiB were measured. The process has other uses for its descriptors, too.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Most descriptors that are kept open: 2,000 groups of the second version have all of theirs.
pub(super) const DESCRIPTORS_MAX: usize = 20_480;

/// What has been taken of the descriptors that may be kept.
#[derive(Debug)]
pub(super) struct Descriptors {
    taken: usize,
    max: usize,
    /// Whether the process's limit has been raised as far as it goes.
    raised: bool,
}

impl Descriptors {
    /// Half of what the process may have, and no more than [`DESCRIPTORS_MAX`].
    pub(super) fn new() -> Self {
        let current = getrlimit(Resource::Nofile).current;
        Self { taken: 0, max: share_of(current), raised: false }
    }

    /// Takes one, if there is one left. When none is left for the first time, the process's limit
    /// is raised: the system's default of 1,024 is there for programs that use `select`.
    #[inline]
    pub(super) fn take(&mut self) -> bool {
        if self.taken >= self.max && !self.raised {
            self.raise();
        }
        let left = self.taken < self.max;
        self.taken += usize::from(left);
        left
    }

    /// Gives some back, which have been closed.
    pub(super) fn give(&mut self, count: usize) {
        debug_assert!(count <= self.taken, "{count} of {}", self.taken);
        self.taken = self.taken.saturating_sub(count);
    }

    #[cold]
    fn raise(&mut self) {
        self.raised = true;
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let needed = DESCRIPTORS_MAX as u64 * 2;
        let wanted = maximum.map_or(needed, |maximum| maximum.min(needed));
        if current.is_none_or(|current| current >= wanted) {
            return;
        }
        if setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).is_ok() {
            self.max = share_of(Some(wanted));
        }
    }
}

fn share_of(limit: Option<u64>) -> usize {
    let half = limit.map_or(usize::MAX, |limit| usize::try_from(limit / 2).unwrap_or(usize::MAX));
    half.min(DESCRIPTORS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_are_taken_than_there_are() {
        let mut descriptors = Descriptors { taken: 0, max: 2, raised: true };
        assert_eq!([0; 3].map(|_| descriptors.take()), [true, true, false]);
        descriptors.give(1);
        assert_eq!([0; 2].map(|_| descriptors.take()), [true, false]);
        assert_eq!([share_of(Some(1024)), share_of(None)], [512, DESCRIPTORS_MAX]);
    }
}
