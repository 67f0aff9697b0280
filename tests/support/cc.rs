//! The machine's C compiler, for the tests of what is written in C.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The project's directory.
pub(crate) const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// What every program in C is compiled with.
pub(crate) const STRICT: [&str; 7] =
    ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"];
const SANITIZERS: [&str; 2] = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];

/// The compiler's name: `CC`, or else `cc`.
pub(crate) fn cc() -> String {
    env::var("CC").unwrap_or_else(|_| "cc".into())
}

pub(crate) fn is_there(compiler: &str) -> bool {
    Command::new(compiler).arg("--version").output().is_ok_and(|found| found.status.success())
}

/// Whether there is a C compiler; says so if not.
pub(crate) fn has_cc(what: &str) -> bool {
    let found = is_there(&cc());
    if !found {
        eprintln!("LEFT OUT: {what}: there is no C compiler {}", cc());
    }
    found
}

/// Runs a compiler, with the header of the C client where it is found.
pub(crate) fn compile(compiler: &str, args: &[impl AsRef<OsStr>]) -> Output {
    let include = Path::new(ROOT).join("clients/c");
    let run = Command::new(compiler).arg("-I").arg(include).args(args).output();
    run.unwrap_or_else(|error| panic!("{compiler}: {error}"))
}

/// Compiles the program `source` to `name` in the build directory, with the address and undefined
/// behaviour sanitizers if asked for and to be had.
pub(crate) fn program(source: &str, name: &str, is_checked: bool) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let source = Path::new(ROOT).join(source);
    let build = |more: &[&str]| {
        let mut args: Vec<_> = STRICT.iter().chain(more).map(OsStr::new).collect();
        args.extend([OsStr::new("-O2"), source.as_os_str(), OsStr::new("-o"), path.as_os_str()]);
        compile(&cc(), &args)
    };
    if is_checked {
        if build(&SANITIZERS).status.success() {
            return path;
        }
        eprintln!("LEFT OUT: {} has no sanitizers; {name} runs without", cc());
    }
    let built = build(&[]);
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    path
}
