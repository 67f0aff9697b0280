//! Who may read what: roles on paths.
//!
//! The model is that of Proxmox Backup Server. An entry gives an id a role at a path, and below it if
//! it propagates. From the root to the path that is asked for, the roles that an id has at a level
//! replace those that it has inherited; what does not propagate counts at its own path alone; and
//! [`Role::NoAccess`] is stronger than every other role of its level. A token may do what both it and
//! its owner may do at the same path.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::id::AuthId;

/// What one may do. There is nothing to change here, so the privileges are the two that let read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Privileges {
    /// `Sys.Audit`: may read what a host says of itself.
    pub sys_audit: bool,
    /// `Datastore.Audit`: may read what is said of a datastore.
    pub datastore_audit: bool,
}

impl Privileges {
    /// The names under which clients know them.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let of = |has: bool, name| has.then_some(name);
        [of(self.datastore_audit, "Datastore.Audit"), of(self.sys_audit, "Sys.Audit")]
            .into_iter()
            .flatten()
    }

    /// What both have.
    #[must_use]
    fn and(self, other: Self) -> Self {
        Self {
            sys_audit: self.sys_audit && other.sys_audit,
            datastore_audit: self.datastore_audit && other.datastore_audit,
        }
    }

    /// What one of them has.
    #[must_use]
    fn or(self, other: Self) -> Self {
        Self {
            sys_audit: self.sys_audit || other.sys_audit,
            datastore_audit: self.datastore_audit || other.datastore_audit,
        }
    }
}

/// What somebody may do at a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Permissions {
    /// There.
    pub here: Privileges,
    /// Below it, where nothing else is said.
    pub below: Privileges,
}

/// A set of privileges with a name. Those of the original that have neither privilege are not here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Everything.
    Admin,
    /// Everything that there is to read.
    Audit,
    /// To read of datastores.
    DatastoreAudit,
    /// To read of datastores, and what is in them, which is not served here.
    DatastoreReader,
    /// Everything with datastores.
    DatastoreAdmin,
    /// Nothing, whatever other roles there are at the same level.
    NoAccess,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 6] = [
        Self::Admin,
        Self::Audit,
        Self::DatastoreAudit,
        Self::DatastoreReader,
        Self::DatastoreAdmin,
        Self::NoAccess,
    ];

    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Admin => "Admin",
            Self::Audit => "Audit",
            Self::DatastoreAudit => "DatastoreAudit",
            Self::DatastoreReader => "DatastoreReader",
            Self::DatastoreAdmin => "DatastoreAdmin",
            Self::NoAccess => "NoAccess",
        }
    }

    fn privileges(self) -> Privileges {
        match self {
            Self::Admin | Self::Audit => Privileges { sys_audit: true, datastore_audit: true },
            Self::DatastoreAudit | Self::DatastoreReader | Self::DatastoreAdmin => {
                Privileges { sys_audit: false, datastore_audit: true }
            }
            Self::NoAccess => Privileges::default(),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// There is no such role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownRole;

impl fmt::Display for UnknownRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is no such role; there are ")?;
        for (index, role) in Role::ALL.iter().enumerate() {
            f.write_str(if index > 0 { ", " } else { "" })?;
            f.write_str(role.name())?;
        }
        Ok(())
    }
}

impl std::error::Error for UnknownRole {}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Self::ALL.into_iter().find(|role| role.name() == text).ok_or(UnknownRole)
    }
}

/// A place at which roles can be given.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AclPath {
    /// `/`: everything.
    Root,
    /// `/system`.
    System,
    /// `/system/status`: what a host says of itself.
    Status,
    /// `/datastore`: all datastores.
    Datastores,
    /// `/datastore/NAME`.
    Datastore(Box<str>),
    /// `/application`: all applications that record in rings of their own.
    Applications,
    /// `/application/NAME`: the ring of that name.
    Application(Box<str>),
}

impl AclPath {
    /// Those that are there whatever is recorded.
    pub(super) const TOP: [Self; 5] =
        [Self::Root, Self::System, Self::Status, Self::Datastores, Self::Applications];

    /// The place above; none above the root.
    fn parent(&self) -> Option<Self> {
        match self {
            Self::Root => None,
            Self::System | Self::Datastores | Self::Applications => Some(Self::Root),
            Self::Status => Some(Self::System),
            Self::Datastore(_) => Some(Self::Datastores),
            Self::Application(_) => Some(Self::Applications),
        }
    }
}

impl fmt::Display for AclPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("/"),
            Self::System => f.write_str("/system"),
            Self::Status => f.write_str("/system/status"),
            Self::Datastores => f.write_str("/datastore"),
            Self::Datastore(name) => write!(f, "/datastore/{name}"),
            Self::Applications => f.write_str("/application"),
            Self::Application(name) => write!(f, "/application/{name}"),
        }
    }
}

/// There is no such path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownPath;

impl fmt::Display for UnknownPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "there is no such path; there are /, /system, /system/status, /datastore, \
             /datastore/NAME, /application and /application/NAME",
        )
    }
}

impl std::error::Error for UnknownPath {}

impl FromStr for AclPath {
    type Err = UnknownPath;

    fn from_str(text: &str) -> Result<Self, UnknownPath> {
        let parts = text.strip_prefix('/').ok_or(UnknownPath)?;
        Ok(match parts.split_once('/') {
            None => match parts {
                "" => Self::Root,
                "system" => Self::System,
                "datastore" => Self::Datastores,
                "application" => Self::Applications,
                _ => return Err(UnknownPath),
            },
            Some(("system", "status")) => Self::Status,
            Some(("datastore", name)) if is_name(name) => Self::Datastore(name.into()),
            Some(("application", name)) if is_name(name) => Self::Application(name.into()),
            Some(_) => return Err(UnknownPath),
        })
    }
}

/// Whether something can be called this that has a path of its own.
fn is_name(name: &str) -> bool {
    let is_wrong = |c: char| c == '/' || c.is_control() || c.is_whitespace();
    !matches!(name, "" | "." | "..") && !name.contains(is_wrong)
}

/// That somebody has a role at a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AclEntry {
    /// Where.
    pub path: AclPath,
    /// Who.
    pub id: AuthId,
    /// What.
    pub role: Role,
    /// Whether below the path too.
    pub propagate: bool,
}

/// Who has which role where.
#[derive(Clone, Debug, Default)]
pub struct Acl {
    by_place: BTreeMap<(AuthId, AclPath), Vec<(Role, bool)>>,
}

impl Acl {
    /// What these entries say together.
    #[must_use]
    pub fn of(entries: impl IntoIterator<Item = AclEntry>) -> Self {
        let mut by_place: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for AclEntry { path, id, role, propagate } in entries {
            by_place.entry((id, path)).or_default().push((role, propagate));
        }
        Self { by_place }
    }

    /// What `id` may do at `path`; of a token, what its owner may do there as well.
    #[must_use]
    pub fn privileges(&self, id: &AuthId, path: &AclPath) -> Privileges {
        self.permissions(id, path).here
    }

    /// The same, and what of it holds below the path too.
    #[must_use]
    pub fn permissions(&self, id: &AuthId, path: &AclPath) -> Permissions {
        let own = self.own_permissions(id, path);
        if !id.is_token() {
            return own;
        }
        let owner = self.own_permissions(&id.owner(), path);
        Permissions { here: own.here.and(owner.here), below: own.below.and(owner.below) }
    }

    /// What its own roles say.
    fn own_permissions(&self, id: &AuthId, path: &AclPath) -> Permissions {
        // The lowest level that has a role is the one that counts.
        let mut level = Some(path.clone());
        while let Some(at) = level {
            let is_path = at == *path;
            let parent = at.parent();
            let roles = self.by_place.get(&(id.clone(), at)).into_iter().flatten();
            let mut found = None;
            for (role, propagate) in roles.filter(|(_, propagate)| is_path || *propagate) {
                if *role == Role::NoAccess {
                    return Permissions::default();
                }
                let Permissions { here, below } = found.unwrap_or_default();
                let privileges = role.privileges();
                let below = if *propagate { below.or(privileges) } else { below };
                found = Some(Permissions { here: here.or(privileges), below });
            }
            if let Some(found) = found {
                return found;
            }
            level = parent;
        }
        Permissions::default()
    }

    /// The names of the datastores, or of the applications, of which something is said for `id` or its
    /// owner, in order and each once.
    pub(super) fn named(&self, id: &AuthId) -> Vec<AclPath> {
        let owner = id.owner();
        let paths = self.by_place.keys().filter(|(other, _)| other == id || *other == owner);
        let is_named =
            |path: &&AclPath| matches!(path, AclPath::Datastore(_) | AclPath::Application(_));
        let mut named: Vec<_> = paths.map(|(_, path)| path).filter(is_named).cloned().collect();
        named.sort_unstable();
        named.dedup();
        named
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acl(entries: &[(&str, &str, Role, bool)]) -> Acl {
        Acl::of(entries.iter().map(|(path, id, role, propagate)| AclEntry {
            path: path.parse().expect("a path"),
            id: id.parse().expect("an id"),
            role: *role,
            propagate: *propagate,
        }))
    }

    fn may(acl: &Acl, id: &str, path: &str) -> (bool, bool) {
        let path = path.parse().expect("a path");
        let Privileges { sys_audit, datastore_audit } =
            acl.privileges(&id.parse().expect("an id"), &path);
        (sys_audit, datastore_audit)
    }

    const BOTH: (bool, bool) = (true, true);
    const STORES: (bool, bool) = (false, true);
    const NEITHER: (bool, bool) = (false, false);

    #[test]
    fn roles_go_down_the_tree_where_they_propagate() {
        let acl = acl(&[
            ("/", "all@pbs", Role::Audit, true),
            ("/", "here@pbs", Role::Admin, false),
            ("/datastore", "stores@pbs", Role::DatastoreReader, true),
        ]);
        for path in ["/", "/system", "/system/status", "/datastore/a", "/application/x"] {
            assert_eq!(may(&acl, "all@pbs", path), BOTH, "{path}");
            assert_eq!(may(&acl, "here@pbs", path), if path == "/" { BOTH } else { NEITHER });
            let stores = if path.starts_with("/datastore") { STORES } else { NEITHER };
            assert_eq!(may(&acl, "stores@pbs", path), stores, "{path}");
            assert_eq!(may(&acl, "other@pbs", path), NEITHER);
        }
    }

    #[test]
    fn deeper_roles_replace_those_that_are_inherited() {
        let acl = acl(&[
            ("/", "a@pbs", Role::Admin, true),
            ("/system", "a@pbs", Role::DatastoreAudit, true),
            ("/datastore/x", "a@pbs", Role::NoAccess, true),
            ("/datastore/y", "a@pbs", Role::NoAccess, false),
            ("/datastore/y", "a@pbs", Role::Audit, true),
            ("/datastore", "b@pbs", Role::NoAccess, true),
            ("/datastore/x", "b@pbs", Role::DatastoreAdmin, true),
        ]);
        assert_eq!(may(&acl, "a@pbs", "/system/status"), STORES);
        assert_eq!(may(&acl, "a@pbs", "/datastore"), BOTH);
        assert_eq!(may(&acl, "a@pbs", "/datastore/x"), NEITHER);
        assert_eq!(may(&acl, "a@pbs", "/datastore/y"), NEITHER, "nothing is stronger at its level");
        assert_eq!(may(&acl, "b@pbs", "/datastore/x"), STORES);
        assert_eq!(may(&acl, "b@pbs", "/datastore/y"), NEITHER);
    }

    #[test]
    fn roles_of_one_level_add_up() {
        let acl = acl(&[
            ("/system", "a@pbs", Role::DatastoreAudit, true),
            ("/system", "a@pbs", Role::Audit, false),
        ]);
        assert_eq!(may(&acl, "a@pbs", "/system"), BOTH);
        assert_eq!(may(&acl, "a@pbs", "/system/status"), STORES, "one of them stays there");
        let Permissions { here, below } =
            acl.permissions(&"a@pbs".parse().expect("an id"), &AclPath::System);
        assert!(here.names().eq(["Datastore.Audit", "Sys.Audit"]));
        assert!(below.names().eq(["Datastore.Audit"]));
    }

    #[test]
    fn token_may_do_what_both_it_and_its_owner_may_do_there() {
        let acl = acl(&[
            ("/", "a@pbs!t", Role::Audit, true),
            ("/datastore/x", "a@pbs", Role::DatastoreAudit, true),
            ("/datastore/y", "a@pbs!u", Role::Audit, true),
        ]);
        // The owner's rights are narrower than the token's: the original finds nothing here.
        assert_eq!(may(&acl, "a@pbs!t", "/datastore/x"), STORES);
        assert_eq!(may(&acl, "a@pbs!t", "/datastore/y"), NEITHER);
        assert_eq!(may(&acl, "a@pbs!t", "/system/status"), NEITHER);
        assert_eq!(may(&acl, "a@pbs!u", "/datastore/y"), NEITHER, "its owner has nothing there");
    }

    #[test]
    fn paths_are_those_that_there_are() {
        for text in [
            "/",
            "/system",
            "/system/status",
            "/datastore",
            "/datastore/a-b.c",
            "/application",
            "/application/x",
        ] {
            assert_eq!(text.parse::<AclPath>().expect(text).to_string(), text);
        }
        for text in [
            "",
            "system",
            "//",
            "/system/",
            "/system/status/x",
            "/datastore/",
            "/datastore/a/b",
            "/datastore/..",
            "/datastore/a b",
            "/datastore/a\n",
            "/application/.",
            "/access",
        ] {
            assert_eq!(text.parse::<AclPath>(), Err(UnknownPath), "{text:?}");
        }
    }
}
