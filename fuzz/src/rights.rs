//! Who may read what: what requests say of who sends them, and the files of the state directory.

use tachograph::rights::{Access, AclPath, AuthId, CREDENTIALS_BYTES_MAX, Credentials, Recorder};

/// What stands between two texts of an input.
const BETWEEN: char = '\x1e';
/// How far two ways of asking are compared.
const ASKED_MAX: usize = 16;

/// A header is refused or names an id that reads back as itself. Files are refused by name and line, or
/// what they let somebody see is what their roles let them do.
pub fn run(input: &[u8]) {
    if let Ok(Credentials { id, secret }) = Credentials::parse(input) {
        assert!(input.len() <= CREDENTIALS_BYTES_MAX && secret.len() <= input.len());
        assert_eq!(id.as_str().parse(), Ok(id.clone()));
        assert!(!id.as_str().contains(|c: char| c.is_control() || c == '/'), "{id}");
    }
    let Ok(text) = str::from_utf8(input) else { return };
    let mut texts = text.split(BETWEEN);
    let mut next = || texts.next().unwrap_or_default();
    let access = match Access::parse(next(), next(), next()) {
        Ok(access) => access,
        Err(error) => {
            let told = error.to_string();
            let place = told.split_once(".toml:").and_then(|(_, rest)| rest.split_once(": "));
            let (line, _) = place.unwrap_or_else(|| panic!("no place in {told:?}"));
            let line: usize = line.parse().expect("a line");
            assert!(line <= text.lines().count().max(1), "{told:?}");
            return;
        }
    };
    check(&access);
}

fn check(access: &Access) {
    let ids = access.identities().map(|(id, _)| id.clone());
    let ids: Vec<AuthId> = ids.take(ASKED_MAX).chain([AuthId::anonymous()]).collect();
    let named = access.entries().iter().map(|entry| entry.path.clone()).take(ASKED_MAX);
    let paths: Vec<AclPath> = named.chain([AclPath::Status]).collect();
    for id in &ids {
        let sight = access.sight(id);
        for path in &paths {
            let may = access.privileges(id, path);
            let shows = match path {
                AclPath::Status => sight.shows(Recorder::Host, "host") == may.sys_audit,
                AclPath::Datastore(name) => {
                    sight.shows(Recorder::Host, &format!("datastore/{name}")) == may.datastore_audit
                }
                AclPath::Application(name) => {
                    sight.shows(Recorder::Application(name), "queue") == may.sys_audit
                }
                _ => true,
            };
            assert!(shows, "{id} at {path}");
            let owner = access.privileges(&id.owner(), path);
            assert!(owner.sys_audit || !may.sys_audit, "{id} may do more than its owner at {path}");
            assert!(owner.datastore_audit || !may.datastore_audit, "{id} at {path}");
        }
        // Without its secret nobody is anybody.
        let secret = b"guess".to_vec();
        assert!(!access.proves(&Credentials { id: id.clone(), secret }, 0), "{id}");
    }
}
