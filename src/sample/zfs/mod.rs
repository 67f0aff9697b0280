//! What ZFS says of its pools and datasets, in the files under `/proc/spl/kstat/zfs`.

pub(super) mod dataset;
pub(super) mod kstat;
pub(super) mod pool;
