//! The HTTP front end: asks for data through [`Vitals`], answers in the forms that clients know.

mod formatter;
pub mod limits;
pub mod query;
mod route;
mod vitals;

pub use formatter::Formatter;
pub use limits::Limits;
pub use route::Route;
pub use vitals::{Freshness, PART_BYTES, Part, Pull, Vitals, VitalsError};
