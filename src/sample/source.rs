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

    /// Gives `tell` what each part is and how it is now, if that is not how it was when this was
    /// last called; `false` if there are no parts to be told of one by one.
    fn tell_of_parts(&mut self, tell: &mut dyn FnMut(&Path, Result<(), SampleError>)) -> bool {
        let _ = tell;
        false
    }

    /// Whether a turn only looks at what is read in the background. It costs next to nothing, and
    /// is not left out after a failure.
    fn only_looks(&self) -> bool {
        false
    }
}
