//! What requests say in their headers, from text to values.
//!
//! Pure functions over untrusted input. None of them allocates. What is malformed is as if it had not
//! been said, except in `Host`, of which it must be known what it says.

mod coding;
mod host;
mod scrape_timeout;
mod tag;

pub use coding::{Acceptable, Coding};
pub use host::{Host, host};
pub use scrape_timeout::{SCRAPE_TIMEOUT_MAX, scrape_timeout};
pub use tag::{EntityTag, entity_tags};
