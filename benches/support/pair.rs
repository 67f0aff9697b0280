//! Two ways to the same result, timed side by side.
//!
//! A machine that others use is fast one moment and slow the next. Two figures from different
//! moments say little about each other; the ratio of two that were taken right after one another
//! does. So the sides alternate, a ratio is made of each round, and the median of those is judged.
//!
//! What is timed is the CPU time of this thread, in the kernel and out of it: the time in which others
//! have the CPU is no cost of either side, and neither side waits for anything.

use std::hint::black_box;

use rustix::time::{ClockId, clock_gettime};

use crate::judge::{Goal, Outcome, judge};

/// A side is repeated until it has run for so many seconds, so that the clock's own cost does not
/// count.
const BATCH_MIN: f64 = 0.005;

/// Times `ours` and `theirs` in turn for `rounds` rounds and lets [`judge`] print what came out.
pub(crate) fn pair<A, B>(
    name: (&str, &str),
    goal: Goal,
    rounds: usize,
    mut ours: impl FnMut() -> A,
    mut theirs: impl FnMut() -> B,
) -> Outcome {
    assert!(rounds > 0, "a median needs a round");
    // Also warms up caches, branch predictors and buffers that grow.
    let (ours_calls, theirs_calls) = (calls_per_batch(&mut ours), calls_per_batch(&mut theirs));
    let mut ours_times = Vec::with_capacity(rounds);
    let mut theirs_times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        ours_times.push(seconds_per_call(&mut ours, ours_calls));
        theirs_times.push(seconds_per_call(&mut theirs, theirs_calls));
    }
    judge(name, goal, &ours_times, &theirs_times)
}

/// How many calls take at least [`BATCH_MIN`].
fn calls_per_batch<T>(side: &mut impl FnMut() -> T) -> u32 {
    let mut calls = 1;
    loop {
        let seconds = seconds_per_call(side, calls) * f64::from(calls);
        if seconds >= BATCH_MIN {
            return calls;
        }
        calls *= 2;
    }
}

fn seconds_per_call<T>(side: &mut impl FnMut() -> T, calls: u32) -> f64 {
    let start = cpu_seconds();
    for _ in 0..calls {
        black_box(side());
    }
    (cpu_seconds() - start) / f64::from(calls)
}

/// CPU time of this thread.
fn cpu_seconds() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}
