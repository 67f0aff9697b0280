//! What comes with the ring when another program links it: a handful of crates, each of them known.

use std::collections::BTreeSet;
use std::process::Command;

/// All that `tachograph` without features is made of. A new one is a decision: it is added here in
/// the commit that says why.
const RING_ALONE: &[&str] = &[
    "bitflags",        // rustix
    "bytemuck",        // records as words
    "bytemuck_derive", // bytemuck
    "cfg-if",          // crc32fast
    "crc32fast",       // the header's checksum
    "crossbeam-utils", // back-off of `latest`
    "glob",            // patterns of mounts and groups
    "libc",            // memmap2
    "linux-raw-sys",   // rustix
    "memchr",          // the sampler of /proc/stat
    "memmap2",         // the mapping
    "proc-macro2",     // bytemuck_derive
    "quote",           // bytemuck_derive
    "rustix",          // system calls
    "syn",             // bytemuck_derive
    "tachograph",
    "unicode-ident", // proc-macro2
];

#[test]
fn ring_alone_needs_no_more_than_these_crates() {
    let ran = Command::new(env!("CARGO"))
        .args(["tree", "--edges", "normal", "--no-default-features", "--locked", "--offline"])
        .args(["--prefix", "none", "--format", "{p}", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .output()
        .expect("cargo runs");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let text = String::from_utf8(ran.stdout).expect("UTF-8");
    let names = text.lines().filter_map(|line| line.split_whitespace().next());
    let found: BTreeSet<&str> = names.collect();
    let known: BTreeSet<&str> = RING_ALONE.iter().copied().collect();
    assert_eq!(found, known);
}
