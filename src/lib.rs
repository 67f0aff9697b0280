//! Tachograph.

#[cfg(feature = "encode")]
pub mod encode;
pub mod record;
pub mod ring;
pub mod window;
pub mod sample;

#[cfg(feature = "http")]
pub mod http;
