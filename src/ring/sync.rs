//! The fence of the slot protocol: std's, or loom's when the protocol is being modelled.
//!
//! Nothing else of the ring names one. The words themselves come through [`super::Words`], which the
//! model implements over loom's atomics.

#[cfg(not(loom))]
pub(crate) use core::sync::atomic::fence;
#[cfg(loom)]
pub(crate) use loom::sync::atomic::fence;

pub(crate) use core::sync::atomic::Ordering;
