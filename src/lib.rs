//! Tachograph.

#[cfg(feature = "encode")]
pub mod encode;
pub mod record;
pub mod ring;
pub mod sample;
pub mod window;

#[cfg(feature = "http")]
pub mod http;
