//! Text for clients, written straight into the buffer that is sent.

mod number;

pub use number::{F64_BYTES_MAX, F64_ROOM, push_f64, push_i64, push_u64, write_f64};
