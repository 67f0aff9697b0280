//! `tachograph acl`: who has which role where.

use std::io::Write as _;
use std::path::Path;

use anyhow::bail;
use tachograph::rights::{ACL_FILE, Access, AclEntry, AclPath, AuthId};
use toml_edit::{Table, value};

use super::file::{Editor, is_of};
use crate::cli::AclCommand;

/// Does what is asked with the files in `dir`.
pub(crate) fn acl(dir: &Path, command: &AclCommand) -> anyhow::Result<()> {
    let access = Access::load(dir)?;
    match command {
        AclCommand::Add { path, id, role, no_propagate } => {
            if !id.is_anonymous() && !access.identities().any(|(known, _)| known == id) {
                bail!("there is no {id}; `tachograph token add` makes tokens, and their users");
            }
            let is_it = |entry: &&AclEntry| entry.path == *path && entry.id == *id;
            if access.entries().iter().filter(is_it).any(|entry| entry.role == *role) {
                bail!("{id} has {role} at {path} already");
            }
            let editor = Editor::lock(dir)?;
            let mut acl = editor.open(ACL_FILE)?;
            let mut entry = Table::new();
            entry["path"] = value(path.to_string());
            entry["id"] = value(id.as_str());
            entry["role"] = value(role.name());
            if *no_propagate {
                entry["propagate"] = value(false);
            }
            acl.list("acl")?.push(entry);
            acl.save()
        }
        AclCommand::Remove { path, id, role } => {
            let editor = Editor::lock(dir)?;
            let mut acl = editor.open(ACL_FILE)?;
            let text = |entry: &Table, name: &str| entry.get(name)?.as_str().map(str::to_owned);
            let is_gone = |entry: &Table| {
                is_of(entry, id.as_str())
                    && text(entry, "path") == Some(path.to_string())
                    && role.is_none_or(|role| text(entry, "role").as_deref() == Some(role.name()))
            };
            if acl.remove("acl", is_gone)? == 0 {
                bail!("{id} has no such role at {path}");
            }
            acl.save()
        }
        AclCommand::List => list(&access),
        AclCommand::Check { id, path } => check(&access, id, path),
    }
}

fn list(access: &Access) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{:<24} {:<32} {:<16} BELOW", "PATH", "ID", "ROLE")?;
    let mut entries = access.entries().to_vec();
    entries.sort();
    for AclEntry { path, id, role, propagate } in entries {
        let below = if propagate { "yes" } else { "no" };
        writeln!(out, "{:<24} {:<32} {role:<16} {below}", path.to_string(), id.as_str())?;
    }
    Ok(out.flush()?)
}

fn check(access: &Access, id: &AuthId, path: &AclPath) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let privileges: Vec<_> = access.privileges(id, path).names().collect();
    let privileges = if privileges.is_empty() { "nothing".into() } else { privileges.join(", ") };
    writeln!(out, "{id} at {path}: {privileges}")?;
    if id.is_token() {
        let owner = id.owner();
        let privileges: Vec<_> = access.privileges(&owner, path).names().collect();
        let privileges =
            if privileges.is_empty() { "nothing".into() } else { privileges.join(", ") };
        writeln!(out, "its owner {owner} there: {privileges}; a token may do what both may")?;
    }
    let now_s = (tachograph::ring::realtime_ns() / 1_000_000_000) as i64;
    if !access.is_active(id, now_s) {
        writeln!(out, "but {id} is unknown, disabled or has expired")?;
    }
    Ok(out.flush()?)
}
