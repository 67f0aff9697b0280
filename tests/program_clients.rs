//! A recorder keeps its time whatever the clients of its server do.

use std::path::Path;

use tachograph::Reader;

#[path = "support/program.rs"]
mod program;
#[path = "support/vices.rs"]
mod vices;

use program::{Place, eventually};
use vices::Siege;

/// The ticks of a recorder, taken and missed, read from its ring without its help.
struct Ticks {
    reader: Reader,
}

impl Ticks {
    fn of(ring: &Path) -> Ticks {
        let reader = eventually("a ring with a record", || {
            Reader::open(ring).ok().filter(|reader| reader.ring().head() > 0)
        });
        Ticks { reader }
    }

    fn now(&self) -> (u64, u64) {
        let ring = self.reader.ring();
        let column = |metric| ring.find("tachograph", metric).expect("it is always there");
        let (taken, missed) = (column("ticks"), column("ticks_missed"));
        let read = ring.latest(|view| view.u64(&taken).zip(view.u64(&missed)));
        read.flatten().expect("a record with both")
    }

    /// How many were taken and missed until `count` more were due.
    fn over(&self, count: u64) -> (u64, u64) {
        let begun = self.now();
        eventually("ticks", || {
            let now = self.now();
            let grown = (now.0 - begun.0, now.1 - begun.1);
            (grown.0 + grown.1 >= count).then_some(grown)
        })
    }
}

/// Both share the machine with each other and with whatever else runs on it. So phases with and without
/// bad clients take turns, and what is missed in the one is judged by what is missed in the other.
#[test]
fn recorder_keeps_its_time_whatever_clients_do() {
    const PHASES: usize = 3;
    const TICKS: u64 = 200;

    let place = Place::new();
    let mut run = place.start(
        "run --interval 10ms --depth 60s --listen 127.0.0.1:0 --header-timeout 300ms \
         --idle-timeout 300ms --write-timeout 300ms",
    );
    let address = run.address();
    let ticks = Ticks::of(&place.ring());
    ticks.over(TICKS); // what happens at a start
    let (mut quiet, mut besieged, mut lives) = ((0, 0), (0, 0), 0);
    let add = |sum: &mut (u64, u64), of: (u64, u64)| *sum = (sum.0 + of.0, sum.1 + of.1);
    for _ in 0..PHASES {
        add(&mut quiet, ticks.over(TICKS));
        let siege = Siege::of(address, "/api2/json/status/metrics?history=1");
        add(&mut besieged, ticks.over(TICKS));
        lives += siege.end();
    }
    eprintln!(
        "alone {} ticks taken and {} missed; beside {lives} bad clients {} taken and {} missed",
        quiet.0, quiet.1, besieged.0, besieged.1
    );
    let due = besieged.0 + besieged.1;
    assert!(besieged.1 <= quiet.1 * 2 + due / 10, "{} of {due} missed, and {quiet:?}", besieged.1);
    assert_eq!(run.get("/healthz").status, 200);
    let ended = run.end();
    assert!(!ended.err.contains("panicked"), "{ended:?}");
    place.assert_closed_and_clean();
}
