//! Who may read what.
//!
//! ```text
//! Credentials (what a request says) -> Access (the files) -> AuthId -> Sight (which objects)
//! ```
//!
//! Principals and roles are those of Proxmox Backup Server: users `user@realm` and their tokens, roles
//! on paths. What somebody may see is worked out once for all objects, as a [`Sight`], and every way to
//! the data asks the same one.

mod acl;
mod credentials;
mod id;
mod secret;
mod sight;
mod state;

pub use acl::{Acl, AclEntry, AclPath, Permissions, Privileges, Role, UnknownPath, UnknownRole};
pub use credentials::{CREDENTIALS_BYTES_MAX, Credentials, CredentialsError};
pub use id::{ANONYMOUS, AuthId, ID_BYTES_MAX, IdError};
pub use secret::{NoDigest, Secret, SecretDigest};
pub use sight::{Recorder, Sight};
pub use state::{ACL_FILE, Access, AccessError, AccessFiles, Identity, SECRETS_FILE, USERS_FILE};
