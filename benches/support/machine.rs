//! The machine that the figures are of, without which they are none.

use std::fs;
use std::process::Command;

/// Prints one line that names the machine, its kernel, the compiler and the commit.
#[expect(clippy::print_stdout, reason = "the report")]
pub(crate) fn print() {
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let rustc = said(Command::new("rustc").arg("-V"));
    let commit = said(
        Command::new("git")
            .args(["describe", "--tags", "--always", "--dirty"])
            .current_dir(env!("CARGO_MANIFEST_DIR")),
    );
    println!(
        "# {}, {cpus} CPUs; Linux {}; {}; commit {}",
        cpu(),
        kernel.trim(),
        rustc.as_deref().unwrap_or("rustc unknown"),
        commit.as_deref().unwrap_or("unknown"),
    );
}

/// What the first CPU calls itself.
fn cpu() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("model name"));
    let name = line.and_then(|line| line.split_once(": "));
    name.map_or(std::env::consts::ARCH, |(_, name)| name.trim()).to_owned()
}

/// What a command prints, if there is such a command and it succeeds.
fn said(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
