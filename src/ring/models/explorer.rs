//! How loom is asked to explore a model of one writer and one reader.
//!
//! The explorer begins with one execution, in which the first thread runs until it must wait, and goes
//! on from there where two accesses meet. Within a bound of preemptions it does not always come to the
//! executions in which the other thread was far ahead, so each model is explored from both ends.

use super::words::thread;

/// Which of the two runs first in the execution that is begun with.
#[derive(Clone, Copy, Debug)]
pub(super) enum First {
    Reader,
    Writer,
}

/// Explores `model`, which calls [`First::run`] once, with at most so many preemptions.
pub(super) fn explore(preemptions: usize, model: impl Fn(First) + Copy + Send + Sync + 'static) {
    for first in [First::Reader, First::Writer] {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(preemptions);
        builder.check(move || model(first));
    }
}

impl First {
    /// Runs both side by side.
    pub(super) fn run(self, write: impl FnOnce() + 'static, read: impl FnOnce() + 'static) {
        let other = match self {
            Self::Reader => {
                let writer = thread::spawn(write);
                read();
                writer
            }
            Self::Writer => {
                let reader = thread::spawn(read);
                write();
                reader
            }
        };
        other.join().expect("it does not panic");
    }
}
