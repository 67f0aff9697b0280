//! Tachograph.

pub mod record;
