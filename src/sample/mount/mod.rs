//! Mounted file systems and the stores on them: which there are, how full they are, and what traffic
//! the devices under them have.

mod backing;
pub(super) mod datastore;
pub(super) mod filesystem;
mod place;
mod space;
pub(super) mod table;
mod traffic;
