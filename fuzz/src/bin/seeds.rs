//! Writes the inputs that the fuzzer begins with to `fuzz/seeds`, a directory for each target.
//!
//! `cargo run --manifest-path fuzz/Cargo.toml --bin seeds`, after a change of the generator. Files
//! that it did not make are left there: they are inputs that once failed.

use std::path::Path;
use std::{fs, io};

use tachograph_fuzz::{TARGETS, seeds};

fn main() -> io::Result<()> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (target, _) in TARGETS {
        let dir = package.join("seeds").join(target);
        fs::create_dir_all(&dir)?;
        for (name, seed) in seeds::of(target, &package.join("../tests/fixtures/hosts")) {
            fs::write(dir.join(name), seed)?;
        }
    }
    Ok(())
}
