//! Tachograph.

pub mod record;
pub mod ring;
