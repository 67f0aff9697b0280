//! When to tick: at multiples of the interval on the wall clock, each at most once.
//!
//! Deadlines are absolute, so lateness does not add up, and a tick that was missed is counted and
//! never repeated. The wall clock may be set at any time and the machine may sleep: every tick looks
//! at the wall clock anew, and tells a clock that was set from time that passed by the boot clock.

use std::time::Duration;

use tachograph::ring::Now;

/// A deadline that the wall clock, being slowed down, has not reached is waited for at most this
/// long.
const EARLY_NS_MAX: u64 = 1_000_000;

/// A tick that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tick {
    /// Its number: how many intervals fit between 1970 and its time.
    pub number: u64,
    /// How long after its time it is.
    pub lateness_ns: u64,
    /// Ticks that were due since the last one and were not taken.
    pub missed: u64,
    /// Whether the wall clock was set since the last one.
    pub clock_step: bool,
}

/// The ticks of one lane.
#[derive(Debug)]
pub(crate) struct Schedule {
    interval_ns: u64,
    last: Option<(u64, Now)>,
    /// Tick number and time, on the boot clock, that were last waited for.
    target: Option<(u64, u64)>,
}

impl Schedule {
    pub(crate) fn new(interval: Duration) -> Self {
        let interval_ns = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX).max(1);
        Self { interval_ns, last: None, target: None }
    }

    /// How long to wait from `now` on; zero for the first tick, which is taken at once so that
    /// nobody has to wait for a first record.
    pub(crate) fn wait(&mut self, now: Now) -> Duration {
        if self.last.is_none() {
            self.target = Some((now.realtime_ns / self.interval_ns, now.boottime_ns));
            return Duration::ZERO;
        }
        let mut number = now.realtime_ns / self.interval_ns + 1;
        if let Some((last, _)) = self.last
            && number == last
        {
            // The clock is being slowed down and its tick has been taken.
            number += 1;
        }
        let wait_ns = number.saturating_mul(self.interval_ns).saturating_sub(now.realtime_ns);
        self.target = Some((number, now.boottime_ns.saturating_add(wait_ns)));
        Duration::from_nanos(wait_ns)
    }

    /// How much longer to wait when the wait is over but the wall clock has been slowed down
    /// meanwhile and has not reached the tick's time, which must never seem to be before it.
    pub(crate) fn early(&self, now: Now) -> Option<Duration> {
        let (number, _) = self.target?;
        let early_ns = number.saturating_mul(self.interval_ns).checked_sub(now.realtime_ns)?;
        (1..=EARLY_NS_MAX).contains(&early_ns).then(|| Duration::from_nanos(early_ns))
    }

    /// The tick that is taken at `now`, after the wait.
    pub(crate) fn take(&mut self, now: Now) -> Tick {
        let (number, due_ns) =
            self.target.take().unwrap_or((now.realtime_ns / self.interval_ns, now.boottime_ns));
        let mut tick = Tick {
            number,
            lateness_ns: now.boottime_ns.saturating_sub(due_ns),
            missed: 0,
            clock_step: false,
        };
        if let Some((last_number, last)) = self.last {
            let passed_ns = now.boottime_ns.saturating_sub(last.boottime_ns);
            tick.clock_step = now.was_set_since(last, self.interval_ns);
            let due = if tick.clock_step {
                // Numbers of two clock settings cannot be compared; time that passed can.
                (passed_ns + self.interval_ns / 2) / self.interval_ns
            } else {
                // A tick that came later than the next one's time stands for its own alone.
                number.saturating_sub(last_number)
            };
            tick.missed = due.saturating_sub(1);
        }
        if tick.clock_step {
            tick.number = now.realtime_ns / self.interval_ns;
        }
        self.last = Some((tick.number, now));
        tick
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;
    const DAY: u64 = 86_400 * S;

    /// A machine whose clocks are set by hand.
    struct Machine {
        now: Now,
        schedule: Schedule,
    }

    impl Machine {
        fn new(interval: Duration) -> Self {
            let now = Now { realtime_ns: 1_000 * DAY + S / 4, boottime_ns: 77 * S };
            let mut machine = Self { now, schedule: Schedule::new(interval) };
            assert_eq!(
                machine.schedule.wait(now),
                Duration::ZERO,
                "the first tick is taken at once"
            );
            machine.schedule.take(now);
            machine
        }

        fn pass(&mut self, ns: u64) {
            self.now.realtime_ns += ns;
            self.now.boottime_ns += ns;
        }

        /// Waits as told, is late by `late_ns`, and takes the tick.
        fn tick(&mut self, late_ns: u64) -> Tick {
            let wait = self.schedule.wait(self.now).as_nanos() as u64;
            self.pass(wait + late_ns);
            self.schedule.take(self.now)
        }
    }

    #[test]
    fn ticks_are_aligned_to_the_wall_clock_and_lateness_does_not_add_up() {
        let mut machine = Machine::new(Duration::from_secs(1));
        for second in 1..100 {
            let tick = machine.tick(second * 1_000_000);
            assert_eq!(tick.number, 1_000 * 86_400 + second);
            assert_eq!(tick.lateness_ns, second * 1_000_000);
            assert_eq!((tick.missed, tick.clock_step), (0, false));
        }
    }

    #[test]
    fn ticks_that_could_not_be_taken_are_counted_and_not_repeated() {
        let mut machine = Machine::new(Duration::from_secs(1));
        let first = machine.tick(0);
        let late = machine.tick(2 * S + S / 2);
        assert_eq!((late.number, late.missed), (first.number + 1, 0));
        let next = machine.tick(0);
        assert_eq!((next.number, next.missed), (first.number + 4, 2));
        assert_eq!(machine.tick(0).missed, 0);
    }

    #[test]
    fn suspended_time_is_missed_ticks_and_no_clock_step() {
        let mut machine = Machine::new(Duration::from_secs(1));
        machine.tick(0);
        machine.pass(3600 * S);
        let tick = machine.tick(0);
        assert_eq!((tick.missed, tick.clock_step), (3600, false));
    }

    #[test]
    fn clock_set_by_a_day_either_way_is_a_step_and_misses_nothing() {
        for forward in [true, false] {
            let mut machine = Machine::new(Duration::from_secs(1));
            machine.tick(0);
            let wait = machine.schedule.wait(machine.now).as_nanos() as u64;
            machine.pass(wait);
            let set =
                if forward { machine.now.realtime_ns + DAY } else { machine.now.realtime_ns - DAY };
            machine.now.realtime_ns = set;
            let tick = machine.schedule.take(machine.now);
            assert_eq!((tick.clock_step, tick.missed, tick.lateness_ns), (true, 0, 0));
            assert_eq!(tick.number, set / S);
            let next = machine.tick(0);
            assert_eq!((next.clock_step, next.missed), (false, 0));
        }
    }

    #[test]
    fn clock_that_is_slowed_down_gives_no_tick_twice() {
        let mut machine = Machine::new(Duration::from_millis(1));
        let first = machine.tick(0);
        // The wall clock falls back by a little, as it does when it is being adjusted.
        machine.now.realtime_ns -= 2_000;
        assert_eq!(machine.tick(0).number, first.number + 1);
    }

    #[test]
    fn wait_that_ends_before_the_time_is_drawn_out() {
        let mut machine = Machine::new(Duration::from_secs(1));
        let wait = machine.schedule.wait(machine.now).as_nanos() as u64;
        machine.pass(wait);
        machine.now.realtime_ns -= 500;
        assert_eq!(machine.schedule.early(machine.now), Some(Duration::from_nanos(500)));
        machine.pass(500);
        assert_eq!(machine.schedule.early(machine.now), None);
        assert_eq!(machine.schedule.take(machine.now).lateness_ns, 500);
    }
}
