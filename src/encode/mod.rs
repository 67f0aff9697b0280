//! Text for clients, written straight into the buffer that is sent.
//!
//! What does not change between two answers is laid out once, as bytes ([`Points`]); what does
//! change is written in place between them. After its buffer has grown, nothing here allocates.

#[cfg(feature = "arrow")]
mod arrow;
mod cells;
mod columns;
mod cursor;
mod frames;
mod moment;
mod native;
mod number;
mod pbs;
mod points;
pub mod prometheus;
mod room;
mod rows;
mod stamp;
mod string;
mod window;

#[cfg(feature = "arrow")]
pub use arrow::{ARROW_COLUMNS_MAX, WindowArrow};
pub use cells::{Cell, PERCENTILE_VALUES_MAX};
pub use columns::{COLUMN_STEPS_MAX, ColumnsQuery, WindowColumns};
pub use cursor::{Cursor, NoCursor};
pub use frames::{EventId, Frames, Start, UnfitEventId};
pub use moment::{Moment, duration};
pub use native::{Latest, LatestPlan, RingLine, SERIES_PER_PIECE, SeriesList, living};
pub use number::{
    F64_BYTES_MAX, F64_ROOM, push_f64, push_i64, push_u64, write_decimal, write_f64, write_u64,
};
pub use pbs::{
    GENERATIONS_MAX, HISTORY_S, HOST_POINTS, PART_BYTES, PbsAnswer, PbsPlan, PbsQuery, STEP_S,
    STORE_POINTS, STORES_MAX,
};
pub use points::Points;
pub use rows::RowFormat;
pub use string::push_escaped;
pub use window::{RowsQuery, WindowRows};
