//! Tachograph.

pub mod record;
pub mod ring;
pub mod window;
pub mod sample;

#[cfg(feature = "http")]
pub mod http;
