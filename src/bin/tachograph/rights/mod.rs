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
pub(crate) fn state_dir(asked: Option<&Path>) -> PathBuf {
    if let Some(asked) = asked {
        return asked.to_owned();
    }
    let variable = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    // Of several that a unit names, this program's is the first.
    let given = env::var_os("STATE_DIRECTORY");
    let given = given.as_ref().and_then(|given| env::split_paths(given).next());
    if let Some(given) = given.filter(|path| path.is_absolute()) {
        return given;
    }
    if geteuid().is_root() {
        return STATE_DIR.into();
    }
    let state = variable("XDG_STATE_HOME").map(|state| state.join("tachograph"));
    let state = state.or_else(|| variable("HOME").map(|home| home.join(STATE_DIR_AT_HOME)));
    // Whoever has no home may still be able to read there.
    state.unwrap_or_else(|| STATE_DIR.into())
}

/// What the files in `dir` say. At the first start there are none: then, if only this machine can reach the
/// server, whoever says nothing of who they are may read what this host says of itself, which every
/// program on it can read anyway.
pub(crate) fn open(dir: &Path, is_local: bool) -> anyhow::Result<(AccessFiles, Access)> {
    let known = || {
        let found = AccessFiles::open(dir);
        found.with_context(|| format!("who may read what is not known: see {}", dir.display()))
    };
    if dir.join(ACL_FILE).exists() {
        return known();
    }
    if !is_local {
        warn!("nobody may read anything before `tachograph acl add` says so");
        return known();
    }
    match begin(dir) {
        Ok(()) => info!("who may read what stands in {} from now on", dir.display()),
        Err(error) => {
            warn!("who may read what is not kept: {error:#}");
            let (files, _) = known()?;
            return Ok((files, Access::parse("", "", &first())?));
        }
    }
    known()
}

/// What is said at first.
fn first() -> String {
    let (path, id, role) = (AclPath::Status, AuthId::anonymous(), Role::Audit);
    format!("[[acl]]\npath = \"{path}\"\nid = \"{id}\"\nrole = \"{role}\"\n")
}

fn begin(dir: &Path) -> anyhow::Result<()> {
    let editor = file::Editor::lock(dir)?;
    // Another one may have begun meanwhile.
    if !dir.join(ACL_FILE).exists() {
        editor.begin(ACL_FILE, &first())?;
    }
    Ok(())
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
