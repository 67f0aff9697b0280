//! The files that say who there is and who may what.
//!
//! Three files in the state directory, in TOML, to be written by the program or by hand:
//!
//! ```toml
//! # users.toml: who there is. Without `expire`, for ever.
//! [[user]]
//! id = "alice@pbs"
//! uid = 1000  # by sockets in the file system, this user of the machine is her
//! comment = "on call"
//!
//! [[token]]
//! id = "alice@pbs!scraper"
//! enable = true
//! created = "2026-11-23T07:00:00Z"
//! expire = "2027-11-23T00:00:00Z"
//!
//! # secrets.toml, which nobody else may read: what is kept of the tokens' secrets.
//! [[secret]]
//! id = "alice@pbs!scraper"
//! digest = "sha256:SALT:DIGEST"
//!
//! # acl.toml: who has which role where, and below it unless `propagate` is false.
//! [[acl]]
//! path = "/datastore/store1"
//! id = "alice@pbs"
//! role = "DatastoreAudit"
//! propagate = true
//! ```
//!
//! A file that is not there says nothing. One that is wrong in any line is refused as a whole, and with
//! it the other two: what is not understood must not open more than what was meant.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::acl::{Acl, AclEntry, AclPath, Permissions, Privileges, Role};
use super::credentials::Credentials;
use super::id::AuthId;
use super::secret::SecretDigest;
use super::sight::Sight;

/// Who there is.
pub const USERS_FILE: &str = "users.toml";
/// What is kept of secrets.
pub const SECRETS_FILE: &str = "secrets.toml";
/// Who may what.
pub const ACL_FILE: &str = "acl.toml";

/// Largest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Most entries of a list in one of the files.
const ENTRIES_MAX: usize = 4096;

/// A user, or a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Whether it may be used.
    pub enable: bool,
    /// When it was made, if that is known, in seconds since 1970.
    pub created_s: Option<i64>,
    /// From when on it may not be used any more, if there is such a time.
    pub expire_s: Option<i64>,
    /// What somebody wanted to say about it.
    pub comment: String,
}

impl Identity {
    /// Whether it may be used at this time. By a clock that shows a time before it was made, nobody
    /// can say whether it has expired.
    #[must_use]
    pub fn is_active(&self, now_s: i64) -> bool {
        let has_expired = |expire_s| now_s >= expire_s || now_s < self.created_s.unwrap_or(0);
        self.enable && !self.expire_s.is_some_and(has_expired)
    }
}

/// Who there is and who may what.
#[derive(Clone, Debug, Default)]
pub struct Access {
    identities: BTreeMap<AuthId, Identity>,
    /// Users of the machine.
    by_uid: BTreeMap<u32, AuthId>,
    secrets: BTreeMap<AuthId, SecretDigest>,
    acl: Acl,
    entries: Vec<AclEntry>,
}

impl Access {
    /// What the files in `dir` say.
    ///
    /// # Errors
    ///
    /// [`AccessError`], with the file and, of what it says, the line.
    pub fn load(dir: &Path) -> Result<Self, AccessError> {
        let users = FileText::read(dir, USERS_FILE, Readers::Group)?;
        let secrets = FileText::read(dir, SECRETS_FILE, Readers::Group)?;
        Self::of(&users, &secrets, &FileText::read(dir, ACL_FILE, Readers::Everybody)?)
    }

    /// What the texts of the three files say.
    ///
    /// # Errors
    ///
    /// [`AccessError::Wrong`].
    pub fn parse(users: &str, secrets: &str, acl: &str) -> Result<Self, AccessError> {
        let text = |name: &str, text: &str| FileText { path: name.into(), text: text.to_owned() };
        Self::of(&text(USERS_FILE, users), &text(SECRETS_FILE, secrets), &text(ACL_FILE, acl))
    }

    fn of(users: &FileText, secrets: &FileText, acl: &FileText) -> Result<Self, AccessError> {
        let mut this = Self::default();
        let UsersFile { user, token } = users.parsed()?;
        users.check_count(&[user.len(), token.len()])?;
        for (entries, of_tokens) in [(user, false), (token, true)] {
            for entry in entries {
                let line = users.line(entry.span().start);
                this.add_identity(entry.into_inner(), of_tokens)
                    .map_err(|wrong| users.wrong(line, wrong))?;
            }
        }
        let SecretsFile { secret } = secrets.parsed()?;
        secrets.check_count(&[secret.len()])?;
        for entry in secret {
            let line = secrets.line(entry.span().start);
            let SecretEntry { id: Parsed(id), digest: Parsed(digest) } = entry.into_inner();
            if !id.is_token() || !this.identities.contains_key(&id) {
                return Err(secrets.wrong(line, format!("there is no token {id}")));
            }
            if this.secrets.insert(id.clone(), digest).is_some() {
                return Err(secrets.wrong(line, format!("{id} has two secrets")));
            }
        }
        let AclFile { acl: entries } = acl.parsed()?;
        acl.check_count(&[entries.len()])?;
        let mut places = BTreeSet::new();
        for entry in entries {
            let line = acl.line(entry.span().start);
            let AclLine { path: Parsed(path), id: Parsed(id), role: Parsed(role), propagate } =
                entry.into_inner();
            if !places.insert((path.clone(), id.clone(), role)) {
                return Err(acl.wrong(line, format!("{id} has {role} at {path} twice")));
            }
            this.entries.push(AclEntry { path, id, role, propagate });
        }
        this.acl = Acl::of(this.entries.iter().cloned());
        Ok(this)
    }

    fn add_identity(&mut self, entry: IdentityEntry, is_token: bool) -> Result<(), String> {
        let IdentityEntry { id: Parsed(id), enable, uid, created, expire, comment } = entry;
        if id.is_anonymous() {
            return Err(format!("{id} is whoever says nothing of who they are"));
        }
        if id.is_token() != is_token {
            let what = if is_token { "no token" } else { "a token, and no user" };
            return Err(format!("{id} is {what}"));
        }
        if is_token && !self.identities.contains_key(&id.owner()) {
            return Err(format!("there is no user {}", id.owner()));
        }
        if let Some(uid) = uid {
            if is_token {
                return Err(format!("{id} is a token, and no user of this machine"));
            }
            if let Some(other) = self.by_uid.insert(uid, id.clone()) {
                return Err(format!("{other} is the user {uid} already"));
            }
        }
        let [created_s, expire_s] = [created, expire].map(|time| time.map(|Parsed(Moment(s))| s));
        let identity = Identity { enable, created_s, expire_s, comment };
        match self.identities.insert(id.clone(), identity) {
            Some(_) => Err(format!("{id} is there twice")),
            None => Ok(()),
        }
    }

    /// Everybody that there is.
    pub fn identities(&self) -> impl Iterator<Item = (&AuthId, &Identity)> {
        self.identities.iter()
    }

    /// The roles as the file gives them.
    #[must_use]
    pub fn entries(&self) -> &[AclEntry] {
        &self.entries
    }

    /// Whether `id`, and of a token its owner, may be used now. Whoever says nothing may always.
    #[must_use]
    pub fn is_active(&self, id: &AuthId, now_s: i64) -> bool {
        let is_active = |id: &AuthId| self.identities.get(id).is_some_and(|i| i.is_active(now_s));
        id.is_anonymous() || (is_active(id) && (!id.is_token() || is_active(&id.owner())))
    }

    /// Whether somebody is who they say. All the same is done for ids that there are and that there
    /// are not, so that the time tells nothing.
    #[must_use]
    pub fn proves(&self, credentials: &Credentials, now_s: i64) -> bool {
        let Credentials { id, secret } = credentials;
        let kept = self.secrets.get(id).unwrap_or(&SecretDigest::NOBODYS);
        let is_right = kept.is_of(secret);
        let is_active = self.is_active(id, now_s);
        is_right & is_active & id.is_token()
    }

    /// Who a user of the machine is, if that may be used now.
    #[must_use]
    pub fn of_uid(&self, uid: u32, now_s: i64) -> Option<&AuthId> {
        self.by_uid.get(&uid).filter(|id| self.is_active(id, now_s))
    }

    /// What `id` may do at `path`.
    #[must_use]
    pub fn privileges(&self, id: &AuthId, path: &AclPath) -> Privileges {
        self.acl.privileges(id, path)
    }

    /// Where `id` may do something, and what.
    #[must_use]
    pub fn permissions(&self, id: &AuthId) -> Vec<(AclPath, Permissions)> {
        let mut paths = self.acl.named(id);
        paths.extend(AclPath::TOP);
        let permissions = |path: AclPath| {
            let permissions = self.acl.permissions(id, &path);
            (permissions != Permissions::default()).then_some((path, permissions))
        };
        paths.into_iter().filter_map(permissions).collect()
    }

    /// What `id` may see.
    #[must_use]
    pub fn sight(&self, id: &AuthId) -> Sight {
        Sight::of(&self.acl, id)
    }
}

/// Why the files are not taken.
#[derive(Debug)]
pub enum AccessError {
    /// One cannot be read.
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// One can be read, or written, by others than it should be.
    Open {
        /// Which.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// One says what cannot be meant.
    Wrong {
        /// Which.
        path: PathBuf,
        /// In which line.
        line: usize,
        /// What is wrong with it.
        wrong: String,
    },
}

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, error } => write!(f, "{}: {error}", path.display()),
            Self::Open { path, mode } => write!(
                f,
                "{} has mode {:04o}: others can read what they should not, or write to it",
                path.display(),
                mode & 0o7777
            ),
            Self::Wrong { path, line, wrong } => write!(f, "{}:{line}: {wrong}", path.display()),
        }
    }
}

impl std::error::Error for AccessError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable { error, .. } => Some(error),
            Self::Open { .. } | Self::Wrong { .. } => None,
        }
    }
}

/// Who may read a file. Nobody but its owner may write to it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Readers {
    Group,
    Everybody,
}

/// What a file says.
struct FileText {
    path: PathBuf,
    text: String,
}

impl FileText {
    fn read(dir: &Path, name: &str, readers: Readers) -> Result<Self, AccessError> {
        let path = dir.join(name);
        let unreadable = |error| AccessError::Unreadable { path: path.clone(), error };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { path, text: String::new() });
            }
            Err(error) => return Err(unreadable(error)),
        };
        let mode = file.metadata().map_err(unreadable)?.mode();
        let closed = if readers == Readers::Group { 0o027 } else { 0o022 };
        if mode & closed != 0 {
            return Err(AccessError::Open { path, mode });
        }
        let mut text = String::new();
        let read = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text);
        match read.map_err(unreadable)? as u64 {
            0..=FILE_BYTES_MAX => Ok(Self { path, text }),
            _ => Err(unreadable(io::Error::other(format!("more than {FILE_BYTES_MAX} bytes")))),
        }
    }

    fn parsed<T: for<'a> Deserialize<'a>>(&self) -> Result<T, AccessError> {
        toml::from_str(&self.text).map_err(|error| {
            let line = self.line(error.span().map_or(0, |span| span.start));
            self.wrong(line, error.message().to_owned())
        })
    }

    /// The line of a place; of the end, the last.
    fn line(&self, at: usize) -> usize {
        let line = 1 + self.text.bytes().take(at).filter(|byte| *byte == b'\n').count();
        line.min(self.text.lines().count().max(1))
    }

    fn wrong(&self, line: usize, wrong: String) -> AccessError {
        AccessError::Wrong { path: self.path.clone(), line, wrong }
    }

    fn check_count(&self, counts: &[usize]) -> Result<(), AccessError> {
        match counts.iter().find(|count| **count > ENTRIES_MAX) {
            Some(count) => {
                Err(self.wrong(1, format!("there are {count} entries; {ENTRIES_MAX} is the most")))
            }
            None => Ok(()),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UsersFile {
    #[serde(default)]
    user: Vec<Spanned<IdentityEntry>>,
    #[serde(default)]
    token: Vec<Spanned<IdentityEntry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IdentityEntry {
    id: Parsed<AuthId>,
    #[serde(default = "yes")]
    enable: bool,
    uid: Option<u32>,
    created: Option<Parsed<Moment>>,
    expire: Option<Parsed<Moment>>,
    #[serde(default)]
    comment: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SecretsFile {
    #[serde(default)]
    secret: Vec<Spanned<SecretEntry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SecretEntry {
    id: Parsed<AuthId>,
    digest: Parsed<SecretDigest>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AclFile {
    #[serde(default)]
    acl: Vec<Spanned<AclLine>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AclLine {
    path: Parsed<AclPath>,
    id: Parsed<AuthId>,
    role: Parsed<Role>,
    #[serde(default = "yes")]
    propagate: bool,
}

fn yes() -> bool {
    true
}

/// What a text says, so that what is wrong with it is told with its line.
struct Parsed<T>(T);

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Parsed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

/// A time as RFC 3339, in seconds since 1970.
struct Moment(i64);

impl FromStr for Moment {
    type Err = jiff::Error;

    fn from_str(text: &str) -> Result<Self, jiff::Error> {
        text.parse::<Timestamp>().map(|time| Self(time.as_second()))
    }
}

/// The files as they were when they were read last, so that a change is noticed.
#[derive(Debug)]
pub struct AccessFiles {
    dir: PathBuf,
    stamps: [Stamp; 3],
}

/// Which file it was and when it was written.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

impl AccessFiles {
    /// Reads the files in `dir`.
    ///
    /// # Errors
    ///
    /// As [`Access::load`].
    pub fn open(dir: &Path) -> Result<(Self, Access), AccessError> {
        let mut this = Self { dir: dir.to_owned(), stamps: [None; 3] };
        this.stamps = this.stamps_now();
        let access = Access::load(dir)?;
        Ok((this, access))
    }

    /// Reads them again if one of them is another one than it was; `None` if none is.
    pub fn changed(&mut self) -> Option<Result<Access, AccessError>> {
        let now = self.stamps_now();
        // Looked at before it is read: what is written while it is read is noticed the next time.
        if std::mem::replace(&mut self.stamps, now) == now {
            return None;
        }
        Some(Access::load(&self.dir))
    }

    fn stamps_now(&self) -> [Stamp; 3] {
        [USERS_FILE, SECRETS_FILE, ACL_FILE].map(|name| {
            let meta = fs::metadata(self.dir.join(name)).ok()?;
            Some((meta.ino(), meta.size(), u64::from(meta.mode()), meta.mtime(), meta.ctime_nsec()))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::id::ANONYMOUS;
    use super::super::secret::Secret;
    use super::*;

    /// A state directory of a test's own.
    struct Place(PathBuf);

    impl Place {
        fn new() -> Self {
            let thread = std::thread::current().id();
            let name = format!("tachograph-rights-{}-{thread:?}", std::process::id());
            let dir = std::env::temp_dir().join(name);
            fs::create_dir_all(&dir).expect("a directory");
            Self(dir)
        }

        fn write(&self, name: &str, text: &str, mode: u32) {
            let path = self.0.join(name);
            fs::write(&path, text).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
        }

        fn load(&self) -> Result<Access, String> {
            // A path that is the same in each run.
            let dir = format!("{}/", self.0.display());
            Access::load(&self.0).map_err(|error| error.to_string().replace(&dir, ""))
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn id(text: &str) -> AuthId {
        text.parse().expect("an id")
    }

    const USERS: &str = r#"
[[user]]
id = "a@pbs"
comment = "on call"

[[user]]
id = "b@pbs"
enable = false

[[token]]
id = "a@pbs!t"
created = "2026-11-23T00:00:00Z"
expire = "2026-11-24T00:00:00Z"

[[token]]
id = "a@pbs!off"
enable = false

[[token]]
id = "b@pbs!t"
"#;

    const CREATED_S: i64 = 1_795_392_000;
    const EXPIRE_S: i64 = CREATED_S + 86_400;

    #[test]
    fn nothing_is_there_at_first() {
        let place = Place::new();
        let access = place.load().expect("no files are files too");
        assert_eq!((access.identities().count(), access.entries().len()), (0, 0));
        assert!(access.sight(&AuthId::anonymous()).is_nothing());
        assert!(access.is_active(&AuthId::anonymous(), 0) && !access.is_active(&id("a@pbs"), 0));
    }

    #[test]
    fn tokens_prove_who_they_are_while_they_and_their_owner_are_active() {
        let place = Place::new();
        let secret = Secret::new().expect("random numbers");
        let digest = SecretDigest::of(&secret).expect("random numbers");
        let entry = |id: &str| format!("[[secret]]\nid = \"{id}\"\ndigest = \"{digest}\"\n");
        place.write(USERS_FILE, USERS, 0o640);
        let secrets = ["a@pbs!t", "a@pbs!off", "b@pbs!t"].map(entry).concat();
        place.write(SECRETS_FILE, &secrets, 0o600);
        let access = place.load().expect("sound");
        let proves = |who: &str, secret: &str, now_s| {
            let secret = secret.as_bytes().to_vec();
            access.proves(&Credentials { id: id(who), secret }, now_s)
        };
        let right = secret.reveal();
        assert!(proves("a@pbs!t", right, CREATED_S) && proves("a@pbs!t", right, EXPIRE_S - 1));
        assert!(!proves("a@pbs!t", right, EXPIRE_S), "it has expired");
        assert!(!proves("a@pbs!t", right, CREATED_S - 1), "the clock is wrong, so nobody knows");
        assert!(!proves("a@pbs!t", "wrong", CREATED_S) && !proves("a@pbs!t", "", CREATED_S));
        assert!(!proves("a@pbs!off", right, CREATED_S), "it is not enabled");
        assert!(!proves("b@pbs!t", right, CREATED_S), "its owner is not enabled");
        assert!(!proves("a@pbs", right, CREATED_S), "users have no secrets");
        assert!(!proves("a@pbs!none", right, CREATED_S) && !proves(ANONYMOUS, right, CREATED_S));
    }

    #[test]
    fn wrong_lines_are_told_with_file_and_line() {
        let sound = |name: &str| match name {
            USERS_FILE => USERS.to_owned(),
            _ => String::new(),
        };
        let digest = SecretDigest::NOBODYS.to_string();
        let secret = |id: &str| format!("[[secret]]\nid = \"{id}\"\ndigest = \"{digest}\"\n");
        let acl = |path: &str, id: &str, role: &str| {
            format!("[[acl]]\npath = \"{path}\"\nid = \"{id}\"\nrole = \"{role}\"\n")
        };
        let two_secrets = secret("a@pbs!t").repeat(2);
        let same = acl("/", "a@pbs", "Admin").repeat(2);
        for (name, text, told) in [
            (USERS_FILE, "[[user]]\nid = \"a\"", "users.toml:2: an id is user@realm"),
            (USERS_FILE, "\n[[user]]\nid = \"a@pbs!t\"", "users.toml:2: a@pbs!t is a token"),
            (USERS_FILE, "[[token]]\nid = \"a@pbs\"", "users.toml:1: a@pbs is no token"),
            (USERS_FILE, "[[token]]\nid = \"a@pbs!t\"", "users.toml:1: there is no user a@pbs"),
            (
                USERS_FILE,
                "[[user]]\nid = \"a@pbs\"\n[[user]]\nid = \"a@pbs\"",
                "users.toml:3: a@pbs is there twice",
            ),
            (USERS_FILE, "[[user]]\nid = \"anonymous@local\"", "users.toml:1: anonymous@local is"),
            (USERS_FILE, "[[user]]\nid = \"a@pbs\"\nadmin = 1", "users.toml:3: unknown field"),
            (USERS_FILE, "[[user]]\nid = \"a@pbs\"\nexpire = \"soon\"", "users.toml:3: "),
            (USERS_FILE, "[[user]]\nid = \"a@pbs\"\nenable = \"no\"", "users.toml:3: invalid type"),
            (USERS_FILE, "[[user]]\n\nid = ", "users.toml:3: "),
            (
                USERS_FILE,
                "[[user]]\nid = \"a@pbs\"\nuid = 7\n[[user]]\nid = \"b@pbs\"\nuid = 7",
                "users.toml:4: a@pbs is the user 7 already",
            ),
            (SECRETS_FILE, &secret("a@pbs!x"), "secrets.toml:1: there is no token a@pbs!x"),
            (SECRETS_FILE, &secret("a@pbs"), "secrets.toml:1: there is no token a@pbs"),
            (SECRETS_FILE, &two_secrets, "secrets.toml:4: a@pbs!t has two secrets"),
            (
                SECRETS_FILE,
                "[[secret]]\nid = \"a@pbs!t\"\ndigest = \"secret\"",
                "secrets.toml:3: what is kept of a secret is",
            ),
            (ACL_FILE, &acl("/", "a@pbs", "Root"), "acl.toml:4: there is no such role; there are"),
            (ACL_FILE, &acl("/etc", "a@pbs", "Audit"), "acl.toml:2: there is no such path; there"),
            (ACL_FILE, &same, "acl.toml:5: a@pbs has Admin at / twice"),
        ] {
            let place = Place::new();
            for file in [USERS_FILE, SECRETS_FILE, ACL_FILE] {
                let text = if file == name { text.to_owned() } else { sound(file) };
                place.write(file, &text, 0o600);
            }
            let error = place.load().expect_err(text);
            assert!(error.starts_with(told), "{error:?} instead of {told:?}");
        }
    }

    #[test]
    fn files_that_are_open_to_others_are_refused() {
        let place = Place::new();
        place.write(USERS_FILE, USERS, 0o640);
        place.write(ACL_FILE, "", 0o644);
        assert!(place.load().is_ok());
        for (name, mode) in [
            (USERS_FILE, 0o644),
            (USERS_FILE, 0o660),
            (SECRETS_FILE, 0o644),
            (ACL_FILE, 0o664),
            (ACL_FILE, 0o646),
        ] {
            let place = Place::new();
            place.write(name, "", mode);
            let told = place.load().expect_err(name);
            assert!(told.starts_with(&format!("{name} has mode {mode:04o}: ")), "{told}");
        }
    }

    #[test]
    fn change_is_noticed_once() {
        let place = Place::new();
        let (mut files, access) = AccessFiles::open(&place.0).expect("sound");
        assert_eq!(access.identities().count(), 0);
        assert!(files.changed().is_none());
        place.write(USERS_FILE, USERS, 0o640);
        let changed = files.changed().expect("it has changed").expect("sound");
        assert_eq!(changed.identities().count(), 5);
        assert!(files.changed().is_none());
        place.write(USERS_FILE, "[[user", 0o640);
        assert!(files.changed().expect("it has changed").is_err());
        assert!(files.changed().is_none(), "the same fault is told once");
    }
}
