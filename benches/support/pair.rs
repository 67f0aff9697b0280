//! Two ways to the same result, timed side by side.
//!
//! A machine that others use is fast one moment and slow the next. Two figures from different
//! moments say little about each other; the ratio of two that were taken right after one another
//! does. So the sides alternate, a ratio is made of each round, and the median of those is judged.

use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::judge::{Goal, Outcome, judge};

/// A side is repeated until it has run this long, so that the clock's own cost does not count.
const BATCH_MIN: Duration = Duration::from_millis(5);

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
        if seconds >= BATCH_MIN.as_secs_f64() {
            return calls;
        }
        calls *= 2;
    }
}

fn seconds_per_call<T>(side: &mut impl FnMut() -> T, calls: u32) -> f64 {
    let start = Instant::now();
    for _ in 0..calls {
        black_box(side());
    }
    start.elapsed().as_secs_f64() / f64::from(calls)
}
