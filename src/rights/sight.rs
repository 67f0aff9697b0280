//! What somebody may see, object by object.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::acl::{Acl, AclPath, Privileges};
use super::id::AuthId;

/// Before the name of a datastore in an object's id.
const DATASTORE: &str = "datastore/";

/// Whose objects a ring has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorder<'a> {
    /// A host: each of its objects has a right of its own.
    Host,
    /// An application: whoever may see its ring may see all that is in it.
    Application(
        /// The ring's name.
        &'a str,
    ),
}

/// Which objects somebody may see.
///
/// It is worked out once from the roles; of each object it then says yes or no without going through
/// them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    host: bool,
    datastores: Named,
    applications: Named,
    key: u64,
}

/// Yes or no for each name: most have the same answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Named {
    /// For all names that are not listed.
    others: bool,
    /// The names that have the other answer, in order.
    except: Vec<Box<str>>,
}

impl Named {
    fn has(&self, name: &str) -> bool {
        self.others != self.except.binary_search_by(|except| (**except).cmp(name)).is_ok()
    }

    fn is_empty(&self) -> bool {
        !self.others && self.except.is_empty()
    }
}

impl Sight {
    /// Of whoever may see everything.
    #[must_use]
    pub fn everything() -> Self {
        let all = || Named { others: true, except: Vec::new() };
        Self::new(true, all(), all())
    }

    /// Of whoever may see nothing.
    #[must_use]
    pub fn nothing() -> Self {
        Self::new(false, Named::default(), Named::default())
    }

    /// What the roles of `id` let it see.
    pub(super) fn of(acl: &Acl, id: &AuthId) -> Self {
        let sys = |Privileges { sys_audit, .. }| sys_audit;
        let store = |Privileges { datastore_audit, .. }| datastore_audit;
        let host = sys(acl.privileges(id, &AclPath::Status));
        // What holds for a name of which nothing is said holds for every such name.
        let nobody = || Box::<str>::from("");
        let mut datastores = Named {
            others: store(acl.privileges(id, &AclPath::Datastore(nobody()))),
            except: Vec::new(),
        };
        let mut applications = Named {
            others: sys(acl.privileges(id, &AclPath::Application(nobody()))),
            except: Vec::new(),
        };
        for path in acl.named(id) {
            let privileges = acl.privileges(id, &path);
            let (names, may, name) = match path {
                AclPath::Datastore(name) => (&mut datastores, store(privileges), name),
                AclPath::Application(name) => (&mut applications, sys(privileges), name),
                _ => continue,
            };
            if may != names.others {
                names.except.push(name);
            }
        }
        Self::new(host, datastores, applications)
    }

    fn new(host: bool, datastores: Named, applications: Named) -> Self {
        let mut hasher = DefaultHasher::new();
        (host, &datastores, &applications).hash(&mut hasher);
        Self { host, datastores, applications, key: hasher.finish() }
    }

    /// Whether it shows an object of a ring.
    #[must_use]
    pub fn shows(&self, recorder: Recorder<'_>, object: &str) -> bool {
        match recorder {
            Recorder::Application(ring) => self.applications.has(ring),
            Recorder::Host => match object.strip_prefix(DATASTORE) {
                // What is below a datastore is of that datastore.
                Some(rest) => self.shows_datastore(rest.split('/').next().unwrap_or_default()),
                None => self.host,
            },
        }
    }

    /// Whether it shows anything of a recorder.
    #[must_use]
    pub fn shows_any(&self, recorder: Recorder<'_>) -> bool {
        match recorder {
            Recorder::Application(ring) => self.applications.has(ring),
            Recorder::Host => self.host || !self.datastores.is_empty(),
        }
    }

    /// Whether it shows a datastore.
    #[must_use]
    pub fn shows_datastore(&self, name: &str) -> bool {
        self.datastores.has(name)
    }

    /// Whether it shows what a host says of itself, which is everything but the datastores.
    #[must_use]
    pub fn shows_host(&self) -> bool {
        self.host
    }

    /// Whether it shows everything in every ring.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        *self == Self::everything()
    }

    /// Whether it shows nothing in any ring.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        !self.host && self.datastores.is_empty() && self.applications.is_empty()
    }

    /// A number that is another one for whoever may see anything else.
    #[must_use]
    pub fn key(&self) -> u64 {
        self.key
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::acl::{AclEntry, Role};
    use super::*;

    const USERS: [&str; 2] = ["a@pbs", "b@pbs"];
    const IDS: [&str; 5] = ["a@pbs", "a@pbs!s", "a@pbs!t", "b@pbs", "b@pbs!s"];
    const PATHS: [&str; 9] = [
        "/",
        "/system",
        "/system/status",
        "/datastore",
        "/datastore/a",
        "/datastore/b",
        "/application",
        "/application/x",
        "/application/y",
    ];

    /// Goes down from the root for one object, as the rules are told.
    fn may(entries: &[AclEntry], id: &str, path: &str, of_store: bool) -> bool {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let mut has = false;
        for depth in 0..=parts.len() {
            let level = format!("/{}", parts[..depth].join("/"));
            let here: Vec<Role> = entries
                .iter()
                .filter(|entry| entry.id.as_str() == id && entry.path.to_string() == level)
                .filter(|entry| entry.propagate || depth == parts.len())
                .map(|entry| entry.role)
                .collect();
            if !here.is_empty() {
                has = !here.contains(&Role::NoAccess)
                    && here.iter().any(|role| match role {
                        Role::Admin | Role::Audit => true,
                        _ => of_store,
                    });
            }
        }
        has
    }

    fn shows(entries: &[AclEntry], id: &str, path: &str, of_store: bool) -> bool {
        let owner = id.split('!').next().expect("a user");
        may(entries, id, path, of_store) && may(entries, owner, path, of_store)
    }

    fn any_entry() -> impl Strategy<Value = AclEntry> {
        let (id, path) = (prop::sample::select(&IDS), prop::sample::select(&PATHS));
        let role = prop::sample::select(&Role::ALL);
        (path, id, role, any::<bool>()).prop_map(|(path, id, role, propagate)| AclEntry {
            path: path.parse().expect("a path"),
            id: id.parse().expect("an id"),
            role,
            propagate,
        })
    }

    proptest! {
        #[test]
        fn sight_agrees_with_a_walk_from_the_root(
            entries in prop::collection::vec(any_entry(), 0..12),
        ) {
            let acl = Acl::of(entries.clone());
            for id in IDS {
                let sight = Sight::of(&acl, &id.parse().expect("an id"));
                let host = shows(&entries, id, "/system/status", false);
                for object in ["host", "cpu/0", "nic/e0", "datastore", "tachograph"] {
                    prop_assert_eq!(sight.shows(Recorder::Host, object), host, "{} {}", id, object);
                }
                for store in ["a", "b", "c"] {
                    let path = format!("/datastore/{store}");
                    let expected = shows(&entries, id, &path, true);
                    for object in [format!("datastore/{store}"), format!("datastore/{store}/s3")] {
                        prop_assert_eq!(sight.shows(Recorder::Host, &object), expected);
                    }
                }
                for ring in ["x", "y", "z"] {
                    let expected = shows(&entries, id, &format!("/application/{ring}"), false);
                    for object in ["host", "datastore/a", "queue/1"] {
                        let recorder = Recorder::Application(ring);
                        prop_assert_eq!(sight.shows(recorder, object), expected);
                    }
                }
                if sight.is_nothing() {
                    prop_assert_eq!(sight, Sight::nothing());
                }
            }
        }
    }

    #[test]
    fn sights_that_show_the_same_have_the_same_key() {
        let acl = |role, path: &str| {
            let path = path.parse().expect("a path");
            let id = USERS[0].parse().expect("an id");
            Acl::of([AclEntry { path, id, role, propagate: true }])
        };
        let of = |acl: &Acl| Sight::of(acl, &USERS[0].parse().expect("an id"));
        let everything = of(&acl(Role::Admin, "/"));
        assert!(everything.is_everything());
        assert_eq!(everything.key(), Sight::everything().key());
        let one = of(&acl(Role::Audit, "/datastore/a"));
        let other = of(&acl(Role::Audit, "/datastore/b"));
        assert_eq!(one.key(), of(&acl(Role::DatastoreReader, "/datastore/a")).key());
        assert!(one.key() != other.key() && one.key() != Sight::nothing().key());
    }
}
