//! The program: parse, choose, print one error, exit.

mod account;
mod attach;
mod cli;
mod config;
mod doors;
mod export;
mod health;
mod inspect;
mod keeper;
mod log;
mod openmetrics;
mod recorder;
mod recording;
mod rights;
mod save;
mod schedule;
mod serve;
mod show;
mod snapshot;
mod supervisor;
mod tail;

use std::process::ExitCode;

use cli::{Command, ServeCommand};
use config::Source;

fn main() -> ExitCode {
    let (common, command) = match cli::parse(std::env::args_os()) {
        Ok(parsed) => parsed,
        Err(error) => error.exit(),
    };
    match run(&common, command) {
        Ok(code) => code,
        // Whoever reads the output has read enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            log::tell(format_args!("{}", story(&error)));
            ExitCode::FAILURE
        }
    }
}

/// The error and its causes, each told once: many of them tell their cause themselves.
fn story(error: &anyhow::Error) -> String {
    let mut story = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if story.is_empty() {
            story = cause;
        } else if !story.ends_with(&*cause) {
            story = format!("{story}: {cause}");
        }
    }
    story
}

fn run(common: &cli::Common, command: Command) -> anyhow::Result<ExitCode> {
    let done = |()| ExitCode::SUCCESS;
    match command {
        Command::Run(flags) => serve::run(&Source::new(common, flags)).map(done),
        Command::Record(flags) => serve::record(&Source::new(common, flags)).map(done),
        Command::Serve(ServeCommand { serve, file }) => {
            serve::serve(&Source::new(common, serve), file.as_deref()).map(done)
        }
        Command::Snapshot(flags) => snapshot::snapshot(common, &flags).map(done),
        Command::Tail(flags) => {
            tail::tail(attach::reader(common, &flags.lane.name)?, &flags).map(done)
        }
        Command::Save(flags) => save::save(common, &flags).map(done),
        Command::Export(flags) => export::export(common, &flags).map(done),
        Command::Inspect(flags) => inspect::inspect(common, &flags),
        Command::Token(command) => {
            let dir = rights::state_dir(config::state_dir(common)?.as_deref());
            rights::token(&dir, &command).map(done)
        }
        Command::Acl(command) => {
            let dir = rights::state_dir(config::state_dir(common)?.as_deref());
            rights::acl(&dir, &command).map(done)
        }
        Command::CheckConfig(flags) => config::check(common, flags).map(done),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>());
    io.is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A missing directory was told with `No such file or directory` twice.
    #[test]
    fn cause_that_an_error_tells_itself_is_told_once() {
        let cause = std::io::Error::other("no such thing");
        let error = anyhow::Error::new(cause).context("cannot open x: no such thing");
        assert_eq!(story(&error), "cannot open x: no such thing");
        assert_eq!(
            story(&error.context("cannot start")),
            "cannot start: cannot open x: no such thing"
        );
    }
}
