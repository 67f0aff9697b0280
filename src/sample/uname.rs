//! `uname(2)`: which kernel runs on what machine, and what the machine is called.

use std::path::Path;

use rustix::system::uname;

use super::SampleError;
use super::columns::Columns;
use super::info::Info;
use super::source::Source;

/// The strings, in the order in which they are put.
const KEYS: [&str; 6] = [
    "uname_sysname",
    "uname_release",
    "uname_version",
    "uname_machine",
    "uname_nodename",
    "uname_domainname",
];

/// The source.
pub(super) struct Uname {
    infos: [Info; KEYS.len()],
}

impl Uname {
    pub(super) fn new() -> Self {
        Self { infos: Info::of("host", KEYS) }
    }
}

impl Source for Uname {
    fn path(&self) -> &Path {
        Path::new("uname(2)")
    }

    fn turn(&mut self, columns: &mut Columns<'_>) -> Result<(), SampleError> {
        let name = uname();
        let values = [
            name.sysname(),
            name.release(),
            name.version(),
            name.machine(),
            name.nodename(),
            name.domainname(),
        ];
        let mut outcome = Ok(());
        for (info, value) in self.infos.iter_mut().zip(values) {
            outcome = outcome.and(info.put(value.to_bytes(), columns));
        }
        outcome
    }
}
