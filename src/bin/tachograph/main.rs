//! The program: parse, choose, print one error, exit.

mod account;
mod cli;
mod config;
mod inspect;
mod log;
mod recorder;
mod recording;
mod schedule;
mod serve;
mod show;
mod snapshot;
mod tail;

use std::process::ExitCode;

use cli::Command;

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
            eprintln!("tachograph: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(common: &cli::Common, command: Command) -> anyhow::Result<ExitCode> {
    let done = |()| ExitCode::SUCCESS;
    match command {
        Command::Run(flags) => serve::run(&config::load(common, flags)?).map(done),
        Command::Record(flags) => serve::record(&config::load(common, flags.into())?).map(done),
        Command::Serve(flags) => serve::serve(&config::load(common, flags.into())?).map(done),
        Command::Snapshot(flags) => snapshot::snapshot(&config::run_dir(common)?, &flags).map(done),
        Command::Tail(flags) => tail::tail(&config::run_dir(common)?, &flags).map(done),
        Command::Inspect(flags) => inspect::inspect(common, &flags),
        Command::CheckConfig(flags) => config::check(common, flags).map(done),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>());
    io.is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
}
