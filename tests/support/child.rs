//! A process that plays a part of a test: the test binary, started again.
#![allow(dead_code, reason = "each test uses some of it")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::{env, io};

const PART: &str = "TACHOGRAPH_TEST_PART";
const PLACE: &str = "TACHOGRAPH_TEST_DIR";
/// What a line that a child says begins with, so that it is told from those of the test harness.
const MARK: &str = "says: ";

/// A child. It is killed and waited for when it is dropped, also by a test that fails.
pub(crate) struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Process {
    /// Starts the test `part_of_a_child` of this binary, which finds `part` and `place` in
    /// [`asked_of_a_child`]. Without a `stdin` it can be told to go on by [`Process::go_on`].
    pub(crate) fn start(part: &str, place: &std::path::Path, stdin: Option<Stdio>) -> Self {
        let mut child = Command::new(env::current_exe().expect("this file"))
            .args(["--exact", "part_of_a_child", "--nocapture", "--test-threads=1"])
            .env(PART, part)
            .env(PLACE, place)
            .stdin(stdin.unwrap_or_else(Stdio::piped))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the test binary can be started");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        Self { stdin: child.stdin.take(), child, stdout }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line that it says; empty when it has ended.
    pub(crate) fn line(&mut self) -> String {
        loop {
            let mut line = String::new();
            let len = self.stdout.read_line(&mut line).expect("UTF-8");
            if len == 0 {
                return line;
            }
            if let Some((_, said)) = line.split_once(MARK) {
                return said.trim_end().to_owned();
            }
        }
    }

    /// Ends its [`pause`].
    pub(crate) fn go_on(&mut self) {
        let stdin = self.stdin.as_mut().expect("piped");
        stdin.write_all(b"\n").expect("it listens");
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it has not been waited for");
        self.child.wait().expect("it is our child");
    }

    /// How it ended.
    pub(crate) fn status(&mut self) -> ExitStatus {
        self.stdin = None;
        self.child.wait().expect("it is our child")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail, and need not be done, for a child that has been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The part that this process is to play, and where; none in the test itself.
pub(crate) fn asked_of_a_child() -> Option<(String, std::path::PathBuf)> {
    let part = env::var(PART).ok()?;
    // A part may be to die by a signal that dumps core.
    let limit = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Core, limit);
    Some((part, env::var_os(PLACE).expect("said with the part").into()))
}

/// Tells the test something.
pub(crate) fn say(line: &str) {
    // Where the harness does not catch it.
    let mut out = io::stdout().lock();
    writeln!(out, "{MARK}{line}").and_then(|()| out.flush()).expect("the parent listens");
}

/// Waits for [`Process::go_on`].
pub(crate) fn pause() {
    io::stdin().read_line(&mut String::new()).expect("the parent speaks");
}
