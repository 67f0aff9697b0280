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
}
