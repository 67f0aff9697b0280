//! What a source is: something that can be read at its turns.

use std::path::Path;

use super::SampleError;
use super::columns::Columns;

/// One file or system call that is read at its turns.
pub(super) trait Source: Send {
    /// What is read, for messages.
    fn path(&self) -> &Path;

    /// Reads it and puts its values into `columns`, registering series that are new and ending
    /// those that are gone. After an error, what could be understood has been put nevertheless.
    fn turn(&mut self, columns: &mut Columns<'_>) -> Result<(), SampleError>;

    /// For a source of several parts that fare differently: gives each part whose state has changed
    /// since this was last asked to `tell`. Such a source returns true, and fails with
    /// [`SampleError::Part`]; of its own state nothing is told.
    fn tell_parts(&mut self, _tell: &mut dyn FnMut(&Path, Result<(), SampleError>)) -> bool {
        false
    }

    /// Whether a turn only looks at what is read in the background. It costs next to nothing, and
    /// is not left out after a failure.
    fn only_looks(&self) -> bool {
        false
    }
}

/// How a part of a source fares, and what was last told of it.
#[derive(Debug)]
pub(super) struct Standing {
    state: Result<(), SampleError>,
    told: Result<(), SampleError>,
}

impl Standing {
    /// Nothing has gone wrong yet.
    pub(super) fn new() -> Self {
        Self { state: Ok(()), told: Ok(()) }
    }

    /// Sets how it fares now.
    pub(super) fn set(&mut self, state: Result<(), SampleError>) {
        self.state = state;
    }

    /// [`SampleError::Part`] if it fails.
    pub(super) fn outcome(&self) -> Result<(), SampleError> {
        self.state.map_err(|_| SampleError::Part)
    }

    /// Tells the state of `path` if that is news.
    pub(super) fn tell(
        &mut self,
        path: &Path,
        tell: &mut dyn FnMut(&Path, Result<(), SampleError>),
    ) {
        if self.state != self.told {
            self.told = self.state;
            tell(path, self.state);
        }
    }
}
