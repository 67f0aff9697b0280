//! News of a source, for the log.

use std::fmt;
use std::path::PathBuf;

use super::SampleError;

/// A source began to fail, fails for another reason, or works again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceEvent {
    /// Name of the source.
    pub source: &'static str,
    /// The file or directory in question; a source may read several.
    pub path: PathBuf,
    /// How it is now.
    pub state: Result<(), SampleError>,
}

impl fmt::Display for SourceEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "source {}: {} ", self.source, self.path.display())?;
        match self.state {
            Ok(()) => f.write_str("works again"),
            Err(error) => error.fmt(f),
        }
    }
}
