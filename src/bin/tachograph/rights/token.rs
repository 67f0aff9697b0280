//! `tachograph token`: tokens, by which scrapers prove who they are.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use tachograph::rights::{
    ACL_FILE, Access, AuthId, Identity, SECRETS_FILE, Secret, SecretDigest, USERS_FILE,
};
use toml_edit::{Table, value};

use super::file::{Editor, is_of};
use crate::cli::TokenCommand;

/// Does what is asked with the files in `dir`.
pub(crate) fn token(dir: &Path, command: &TokenCommand) -> anyhow::Result<()> {
    match command {
        TokenCommand::Add { id, expire, comment } => add(dir, id, *expire, comment.as_deref()),
        TokenCommand::List => list(&Access::load(dir)?),
        TokenCommand::Disable { id } => enable(dir, id, false),
        TokenCommand::Enable { id } => enable(dir, id, true),
        TokenCommand::Remove { id } => remove(dir, id),
    }
}

fn check(id: &AuthId) -> anyhow::Result<()> {
    if !id.is_token() {
        bail!("{id} is a user; a token is called {id}!NAME");
    }
    Ok(())
}

fn add(
    dir: &Path,
    id: &AuthId,
    expire: Option<Timestamp>,
    comment: Option<&str>,
) -> anyhow::Result<()> {
    check(id)?;
    if id.owner().is_anonymous() {
        bail!("{} is whoever says nothing of who they are, and has no tokens", id.owner());
    }
    let editor = Editor::lock(dir)?;
    let access = Access::load(dir)?;
    let is_there = |id: &AuthId| access.identities().any(|(known, _)| known == id);
    if is_there(id) {
        bail!("{id} is there already");
    }
    let secret = Secret::new().context("there are no random numbers")?;
    let digest = SecretDigest::of(&secret).context("there are no random numbers")?;
    let mut users = editor.open(USERS_FILE)?;
    if !is_there(&id.owner()) {
        let mut user = Table::new();
        user["id"] = value(id.owner().as_str());
        users.list("user")?.push(user);
    }
    let mut entry = Table::new();
    entry["id"] = value(id.as_str());
    entry["created"] = value(seconds(Timestamp::now()));
    if let Some(expire) = expire {
        entry["expire"] = value(seconds(expire));
    }
    if let Some(comment) = comment {
        entry["comment"] = value(comment);
    }
    users.list("token")?.push(entry);
    let mut secrets = editor.open(SECRETS_FILE)?;
    let mut entry = Table::new();
    entry["id"] = value(id.as_str());
    entry["digest"] = value(digest.to_string());
    secrets.list("secret")?.push(entry);
    // A token without a secret opens nothing; a secret without its token would be refused.
    users.save()?;
    secrets.save()?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{id} {}", secret.reveal())?;
    writeln!(out, "This is the only time that the secret is shown. As a header:")?;
    writeln!(out, "  Authorization: PBSAPIToken={id}:{}", secret.reveal())?;
    let owner = id.owner();
    let may = |id: &AuthId| access.entries().iter().any(|entry| entry.id == *id);
    if !may(&owner) || !may(id) {
        writeln!(out, "It sees what both it and its owner may see. To let them read of the host:")?;
        writeln!(out, "  tachograph acl add /system/status '{owner}' Audit")?;
        writeln!(out, "  tachograph acl add /system/status '{id}' Audit")?;
    }
    Ok(out.flush()?)
}

/// A time as the file has it, without parts of seconds.
fn seconds(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}

fn list(access: &Access) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{:<32} {:<9} {:<21} {:<21} COMMENT", "ID", "STATE", "CREATED", "EXPIRES")?;
    let now_s = Timestamp::now().as_second();
    for (id, identity) in access.identities().filter(|(id, _)| id.is_token()) {
        let Identity { enable, created_s, expire_s, comment } = identity;
        let state = match (enable, access.is_active(id, now_s)) {
            (false, _) => "disabled",
            (true, true) => "active",
            (true, false) if identity.is_active(now_s) => "owner off",
            (true, false) => "expired",
        };
        let time = |time: &Option<i64>, none: &str| {
            let time = time.and_then(|time_s| Timestamp::from_second(time_s).ok());
            time.map_or(none.to_owned(), |time| time.to_string())
        };
        let (created, expires) = (time(created_s, "-"), time(expire_s, "never"));
        let comment: String =
            comment.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let line = format!("{:<32} {state:<9} {created:<21} {expires:<21} {comment}", id.as_str());
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(out.flush()?)
}

fn enable(dir: &Path, id: &AuthId, is_enabled: bool) -> anyhow::Result<()> {
    check(id)?;
    let editor = Editor::lock(dir)?;
    Access::load(dir)?;
    let mut users = editor.open(USERS_FILE)?;
    let entry = users.list("token")?.iter_mut().find(|entry| is_of(entry, id.as_str()));
    let Some(entry) = entry else { bail!("there is no {id}") };
    entry["enable"] = value(is_enabled);
    users.save()
}

fn remove(dir: &Path, id: &AuthId) -> anyhow::Result<()> {
    check(id)?;
    let editor = Editor::lock(dir)?;
    Access::load(dir)?;
    let is_it = |entry: &Table| is_of(entry, id.as_str());
    // The secret first: from then on it opens nothing.
    let mut secrets = editor.open(SECRETS_FILE)?;
    if secrets.remove("secret", is_it)? > 0 {
        secrets.save()?;
    }
    let mut users = editor.open(USERS_FILE)?;
    if users.remove("token", is_it)? == 0 {
        bail!("there is no {id}");
    }
    users.save()?;
    // Whoever is called so later begins without rights.
    let mut acl = editor.open(ACL_FILE)?;
    if acl.remove("acl", is_it)? > 0 {
        acl.save()?;
    }
    Ok(())
}
