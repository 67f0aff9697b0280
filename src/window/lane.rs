//! Which of several rings answers a question about one series.
//!
//! Lanes record at different intervals, reach back differently far and need not hold the same series,
//! so the choice is made for each series by itself.

use super::Window;
use super::step::oldest_time_ns;
use super::track::Track;
use crate::ring::{Ring, Words};

/// A lane, as far as the choice for one series needs to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// Its name.
    pub lane: &'a str,
    /// Its interval.
    pub interval_ns: u64,
    /// The time of its oldest record; `None` without one. Not of the series: one that is younger is
    /// whole in every lane that reaches back far enough.
    pub reaches_ns: Option<u64>,
    /// Whether some record of the time in question has the series.
    pub holds: bool,
}

impl<'a> Candidate<'a> {
    /// The lane `lane` for a series between two times, as [`Window::between`] has them. `track` is
    /// the series in this ring, if it has it at all.
    #[must_use]
    pub fn of<W: Words>(
        lane: &'a str,
        ring: &Ring<W>,
        track: Option<&Track>,
        after_ns: u64,
        up_to_ns: u64,
    ) -> Self {
        let bounds = Window::between(ring, after_ns, up_to_ns).bounds();
        let meets = |(first, last)| track.is_some_and(|track| track.meets(first, last));
        Self {
            lane,
            interval_ns: ring.header().interval_ns,
            reaches_ns: oldest_time_ns(ring),
            holds: bounds.is_some_and(meets),
        }
    }
}

/// The index of the lane that answers for the time after `after_ns`.
///
/// That is the finest of the lanes that hold the series and reach back to `after_ns`. If none
/// reaches that far, it is the one that reaches furthest; lanes that began within an interval of it
/// reach as far, and the finest of them is taken. Of equals the first stands.
#[must_use]
pub fn choose(candidates: &[Candidate<'_>], after_ns: u64) -> Option<usize> {
    let holding = || {
        let lanes = candidates.iter().enumerate().filter(|(_, candidate)| candidate.holds);
        lanes.filter_map(|(index, candidate)| Some((index, candidate, candidate.reaches_ns?)))
    };
    let finest = |reach_ns: u64| {
        let reaching = holding().filter(|(_, _, reaches_ns)| *reaches_ns <= reach_ns);
        reaching.min_by_key(|(_, candidate, _)| candidate.interval_ns).map(|(index, ..)| index)
    };
    finest(after_ns).or_else(|| {
        let (_, furthest, reaches_ns) = holding().min_by_key(|(_, _, reaches_ns)| *reaches_ns)?;
        finest(reaches_ns.saturating_add(furthest.interval_ns))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Interval, reach (0 is none) and whether it holds the series.
    fn chosen(lanes: &[(u64, u64, bool)], after_ns: u64) -> Option<usize> {
        let candidate = |&(interval_ns, reach, holds): &(u64, u64, bool)| {
            let reaches_ns = (reach > 0).then_some(reach);
            Candidate { lane: "lane", interval_ns, reaches_ns, holds }
        };
        choose(&lanes.iter().map(candidate).collect::<Vec<_>>(), after_ns)
    }

    #[test]
    fn finest_lane_that_reaches_back_is_chosen_or_the_one_that_reaches_furthest() {
        let (fast, host, slow) = ((1, 900, true), (10, 500, true), (60, 100, true));
        let missing = |lane: (u64, u64, bool)| (lane.0, lane.1, false);
        let table: [(&[_], u64, Option<usize>, &str); 13] = [
            (&[fast, host, slow], 950, Some(0), "all reach back"),
            (&[fast, host, slow], 900, Some(0), "just so"),
            (&[slow, host, fast], 900, Some(2), "in any order"),
            (&[fast, host, slow], 899, Some(1), "the finest does not reach back"),
            (&[fast, host, slow], 200, Some(2), "only the coarsest does"),
            (&[fast, host, slow], 50, Some(2), "none does"),
            (&[fast, host, missing(slow)], 50, Some(1), "the furthest lacks the series"),
            (&[missing(fast), host, slow], 950, Some(1), "the finest lacks the series"),
            (&[missing(fast), missing(host)], 950, None, "no lane has it"),
            (&[], 950, None, "no lanes"),
            (&[(1, 0, true), host], 950, Some(1), "the finest is empty"),
            (&[host, host], 950, Some(0), "equals"),
            // All were started together, and nothing is older than that.
            (&[(60, 500, true), (1, 530, true)], 50, Some(1), "none does by an interval"),
        ];
        for (lanes, after_ns, expected, what) in table {
            assert_eq!(chosen(lanes, after_ns), expected, "{what}");
        }
    }
}
