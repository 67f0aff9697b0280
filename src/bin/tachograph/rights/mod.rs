//! Who may read what: the state directory, what is in it at first, and the commands that change it.

mod acl;
mod file;
mod token;

use std::env;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rustix::process::geteuid;
use tachograph::rights::{ACL_FILE, Access, AccessFiles, AclPath, AuthId, Role};
use tracing::{info, warn};

pub(crate) use acl::acl;
pub(crate) use token::token;

/// Where state is kept that outlives the machine's end, of root.
const STATE_DIR: &str = "/var/lib/tachograph";
/// The same of others, in their home.
const STATE_DIR_AT_HOME: &str = ".local/state/tachograph";

/// The state directory: the one that is asked for, the one that systemd gives, or the usual one.
pub(crate) fn state_dir(asked: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(asked) = asked {
        return Ok(asked.to_owned());
    }
    let variable = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    // Of several that a unit names, this program's is the first.
    let given = env::var_os("STATE_DIRECTORY");
    let given = given.as_ref().and_then(|given| env::split_paths(given).next());
    if let Some(given) = given.filter(|path| path.is_absolute()) {
        return Ok(given);
    }
    if geteuid().is_root() {
        return Ok(STATE_DIR.into());
    }
    let state = variable("XDG_STATE_HOME").map(|state| state.join("tachograph"));
    let state = state.or_else(|| variable("HOME").map(|home| home.join(STATE_DIR_AT_HOME)));
    state.context("there is no home for the state directory: say --state-dir")
}

/// What the files in `dir` say. At the first start there are none: then, if only this machine can reach the
/// server, whoever says nothing of who they are may read what this host says of itself, which every
/// program on it can read anyway.
pub(crate) fn open(dir: &Path, is_local: bool) -> anyhow::Result<(AccessFiles, Access)> {
    if !dir.join(ACL_FILE).exists() {
        match begin(dir, is_local) {
            Ok(true) => info!("who may read what stands in {} from now on", dir.display()),
            Ok(false) => warn!("nobody may read anything before `tachograph acl add` says so"),
            Err(error) => warn!("nobody may read anything: {error:#}"),
        }
    }
    let found = AccessFiles::open(dir);
    found.with_context(|| format!("who may read what is not known: see {}", dir.display()))
}

fn begin(dir: &Path, is_local: bool) -> anyhow::Result<bool> {
    if !is_local {
        return Ok(false);
    }
    let editor = file::Editor::lock(dir)?;
    // Another one may have begun meanwhile.
    if !dir.join(ACL_FILE).exists() {
        let mut acl = editor.open(ACL_FILE)?;
        acl::push(&mut acl, &AclPath::Status, &AuthId::anonymous(), Role::Audit, true);
        acl.save()?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn nobody_reads_at_first_where_others_than_this_machine_could() {
        let dir = env::temp_dir().join(format!("tachograph-first-{}", std::process::id()));
        let sight = |is_local| {
            let (_, access) = open(&dir, is_local).expect("it can be written");
            access.sight(&AuthId::anonymous())
        };
        assert!(sight(false).is_nothing() && !dir.exists());
        let local = sight(true);
        assert!(local.shows_host() && !local.shows_datastore("store1"));
        assert!(sight(false).shows_host(), "what has been said holds");
        fs::remove_dir_all(&dir).expect("removed");
    }
}
