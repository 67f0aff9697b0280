//! Figures of many rounds, and whether they reach a goal.

/// What the ratio is to reach.
#[derive(Clone, Copy, Debug)]
#[allow(dead_code, reason = "each benchmark has goals of its own kind")]
pub(crate) enum Goal {
    /// Ours takes at most one part in so many of what theirs takes.
    Faster(f64),
    /// Ours takes at most so many times what theirs takes.
    AtMost(f64),
    /// Only shown.
    None,
}

/// What came out of [`judge`].
#[derive(Clone, Copy, Debug)]
#[allow(dead_code, reason = "not every benchmark compares")]
pub(crate) struct Outcome {
    /// Median seconds of one call of ours.
    pub(crate) ours: f64,
    /// Median seconds of one call of theirs.
    pub(crate) theirs: f64,
}

/// Prints a line with both medians, the ratio with its spread (how many times faster, or how many
/// times the cost), and whether it reaches `goal`.
///
/// `name` is what is measured and what it is measured against, as in `("json/numbers", "peer")`; the
/// times are seconds of one call, those of one round at the same index. A goal that is missed is said
/// and nothing more: the process does not fail for it.
#[expect(clippy::print_stdout, reason = "the report")]
#[allow(dead_code, reason = "not every benchmark compares")]
pub(crate) fn judge(name: (&str, &str), goal: Goal, ours: &[f64], theirs: &[f64]) -> Outcome {
    assert_eq!(ours.len(), theirs.len(), "a ratio for each round");
    let ratio = |(a, b): (&f64, &f64)| if matches!(goal, Goal::Faster(_)) { b / a } else { a / b };
    let ratios: Vec<f64> = ours.iter().zip(theirs).map(ratio).collect();
    let [ratio, low, high] = median_min_max(&ratios);
    let outcome = Outcome { ours: median_min_max(ours)[0], theirs: median_min_max(theirs)[0] };
    let judged = match goal {
        Goal::Faster(times) => format!("goal >= {times}x faster  {}", verdict(ratio >= times)),
        Goal::AtMost(times) => format!("goal <= {times}x the cost  {}", verdict(ratio <= times)),
        Goal::None => "shown only".to_owned(),
    };
    println!(
        "{:<44} ours {:>9}  {} {:>9}  ratio {ratio:.2}x [{low:.2}..{high:.2}]  {judged}",
        name.0,
        text(outcome.ours),
        name.1,
        text(outcome.theirs),
    );
    outcome
}

/// How a goal came out.
pub(crate) fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}

/// The middle one of `figures` and its neighbours at both ends.
pub(crate) fn median_min_max(figures: &[f64]) -> [f64; 3] {
    let mut figures = figures.to_vec();
    figures.sort_by(f64::total_cmp);
    [figures[figures.len() / 2], figures[0], figures[figures.len() - 1]]
}

/// Three digits or more, in a unit that fits.
pub(crate) fn text(seconds: f64) -> String {
    let nanoseconds = seconds * 1e9;
    match nanoseconds {
        ..1e4 => format!("{nanoseconds:.1} ns"),
        ..1e7 => format!("{:.1} us", nanoseconds / 1e3),
        _ => format!("{:.1} ms", nanoseconds / 1e6),
    }
}
