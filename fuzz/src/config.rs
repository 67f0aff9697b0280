//! The configuration file: any text, read as the program reads it.
//!
//! What the program has of it is private to the program, so its source files stand here as they are.

#![allow(dead_code, reason = "the program does more with these modules")]
#![allow(clippy::module_inception, reason = "so it is called there")]

#[path = "../../src/bin/tachograph/cli.rs"]
mod cli;
#[path = "../../src/bin/tachograph/config/mod.rs"]
mod config;
#[path = "../../src/bin/tachograph/log.rs"]
mod log;
#[path = "../../src/bin/tachograph/show.rs"]
mod show;

use cli::{Common, RunFlags};
use config::Settings;

/// Longest that a message may be, beside the value that it is about, in bytes.
const MESSAGE_BYTES_MAX: usize = 1000;
/// How long a character of that value becomes at most when it is escaped.
const ESCAPED_BYTES_MAX: usize = 10;

/// A text is refused in one line, which names the key or the place, or it gives settings. Those are
/// shown as a file that gives the same settings.
pub fn run(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let settings = match read(text) {
        Ok(settings) => settings,
        Err(error) => {
            let message = format!("{error:#}");
            let bytes_max = MESSAGE_BYTES_MAX + ESCAPED_BYTES_MAX * text.len();
            assert!(!message.is_empty() && message.len() < bytes_max, "{message}");
            assert!(!message.contains(char::is_control), "{message:?}");
            return;
        }
    };
    assert!(!settings.lanes.is_empty());
    let said = shown(&settings);
    let again = read(&said).unwrap_or_else(|error| panic!("{error:#} in\n{said}"));
    assert_eq!(shown(&again), said);
}

fn read(text: &str) -> anyhow::Result<Settings> {
    config::merge(config::parse(text)?, &Common::default(), RunFlags::default())
}

fn shown(settings: &Settings) -> String {
    let mut out = Vec::new();
    settings.write_toml(&mut out).expect("memory takes it");
    String::from_utf8(out).expect("a file is text")
}
