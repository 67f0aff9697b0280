//! Tests that mount: each runs in a process with a namespace of its own, and all that it mounted is
//! gone with it.

use std::process::Command;

/// Set in the process that has a namespace of its own.
const INSIDE: &str = "TACHOGRAPH_TEST_NAMESPACE";

/// Whether this is the process in which `test` may mount what it likes. Otherwise runs `test` in
/// such a process, and fails if it fails there. Without `root`, a user's own namespace will do.
pub(crate) fn is_inside(test: &str, root: bool) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let as_root: &[&str] = &["--mount", "--propagation", "private"];
    let as_user: &[&str] = &["--user", "--map-root-user", "--mount", "--propagation", "private"];
    let ways = if root { vec![as_root] } else { vec![as_root, as_user] };
    let may = |way: &&&[&str]| {
        let tried = Command::new("unshare").args(**way).arg("true").output();
        tried.is_ok_and(|tried| tried.status.success())
    };
    let Some(way) = ways.iter().find(may) else {
        eprintln!("LEFT OUT: {test}: it needs root, or a system that lets users mount");
        return false;
    };
    let this = std::env::current_exe().expect("a test has a file");
    let mut command = Command::new("unshare");
    command.args(*way).arg(this).args(["--exact", test, "--nocapture"]).env(INSIDE, "1");
    let ran = command.output().expect("it ran before");
    let said = String::from_utf8_lossy(&ran.stderr);
    eprint!("{said}");
    assert!(ran.status.success(), "{}{said}", String::from_utf8_lossy(&ran.stdout));
    false
}
