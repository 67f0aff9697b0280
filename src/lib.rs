//! Tachograph.

#[cfg(feature = "encode")]
pub mod encode;
#[cfg(feature = "http")]
pub mod http;
pub mod record;
pub mod ring;
pub mod sample;
pub mod window;
