//! A window over a ring that lies, or that changes its story while it is read, ends all the same: what
//! bounds it are the slots that there are, never what a head says.

use std::cell::Cell;

use tachograph::ring::layout::{SEQUENCE_MAX, VERSION, header as at};
use tachograph::ring::{Geometry, Header, Indexed, Ring, Sizes, Words, heap_words};
use tachograph::window::{Event, GapReason, Grid, Steps, Window};

const SLOTS: u64 = 4;
/// More loads than any walk over so few slots needs.
const LOADS_MAX: u32 = 1_000;

/// An empty ring whose head is another at each load, in turn.
struct Liar {
    words: Vec<u64>,
    heads: Vec<u64>,
    turn: Cell<usize>,
    loads: Cell<u32>,
}

impl Liar {
    fn ring(heads: &[u64]) -> Ring<Self> {
        let sizes =
            Sizes { slot_count: SLOTS, column_capacity: 1, entry_capacity: 1, arena_bytes: 8 };
        let header = Header {
            version: VERSION,
            compatible_flags: 0,
            geometry: Geometry::of(sizes).expect("sound sizes"),
            ring_id: [1, 2],
            boot_id: [3, 4],
            interval_ns: 1,
            created_ns: 0,
            first_seq: 0,
        };
        let words = heap_words(header.geometry.file_words());
        header.encode(&words);
        let words = (0..words.len()).map(|index| words.load(index)).collect();
        let liar = Self { words, heads: heads.to_vec(), turn: Cell::new(0), loads: Cell::new(0) };
        Ring::decode(liar).expect("a sound header")
    }
}

impl Words for Liar {
    type Span<'a> = Indexed<'a, Self>;

    fn span(&self, start: usize, len: usize) -> Indexed<'_, Self> {
        Indexed::new(self, start, len)
    }

    fn len(&self) -> usize {
        self.words.len()
    }

    fn load(&self, index: usize) -> u64 {
        self.loads.set(self.loads.get() + 1);
        assert!(self.loads.get() <= LOADS_MAX, "reading ends");
        if index != at::HEAD {
            return self.words[index];
        }
        let turn = self.turn.replace(self.turn.get() + 1);
        self.heads[turn % self.heads.len()]
    }
}

/// What a walk over the window tells: records, missing ones, overrun ones.
fn told(window: &Window<'_, Liar>) -> [u64; 3] {
    let mut told = [0; 3];
    let read = window.read(|events| {
        for event in events {
            match event {
                Event::Record(_) => told[0] += 1,
                Event::Gap(gap) => match gap.reason {
                    GapReason::Missing(count) => told[1] += count,
                    GapReason::Overrun(count) => told[2] += count,
                    reason => panic!("{reason:?}"),
                },
            }
        }
    });
    assert_eq!(read, Ok(()), "nothing was seen that could have been overwritten");
    told
}

/// What the steps of the window tell: missing and overrun records.
fn told_in_steps(window: &Window<'_, Liar>, ring: &Ring<Liar>) -> [u64; 2] {
    let mut steps = Steps::new(Vec::new(), 1);
    steps.begin(window);
    assert_eq!(steps.next(ring), None);
    [steps.rest().missing, steps.rest().overrun]
}

/// A walk to the highest number of 64 bits counted one further: it panicked, or, in a release
/// build, began again at 0 and went through all numbers there are.
#[test]
fn head_beyond_every_sequence_is_the_highest_sequence() {
    for head in [u64::MAX, u64::MAX - 1, SEQUENCE_MAX + 1] {
        let ring = Liar::ring(&[head]);
        assert_eq!(ring.bounds(), Some((SEQUENCE_MAX - SLOTS + 1, SEQUENCE_MAX)));
        let whole = Window::sequences(&ring, 0, u64::MAX);
        assert_eq!(told(&whole), [0, SLOTS, SEQUENCE_MAX - SLOTS]);
        assert_eq!(told_in_steps(&whole, &ring), [SLOTS, SEQUENCE_MAX - SLOTS]);
        assert_eq!(told(&Window::newest(&ring, u64::MAX)), [0, SLOTS, 0]);
        assert!(Window::between(&ring, 0, u64::MAX).is_empty());
        assert_eq!(Grid::new(&ring, 1).newest(), None);
        assert!(ring.latest(|_| ()).is_none());
    }
}

/// The head was loaded for the upper bound of a window and again for its lower one. A writer's head
/// only grows; one that had shrunk meanwhile made a walk of as many steps as it had shrunk by.
#[test]
fn head_that_shrinks_between_two_looks_does_not_lengthen_a_walk() {
    for heads in [[1 << 60, 1], [1, 1 << 60], [1 << 60, 0]] {
        for turns in 0..4 {
            let ring = Liar::ring(&heads);
            for _ in 0..turns {
                assert!(ring.head() <= SEQUENCE_MAX);
            }
            for window in [Window::sequences(&ring, 0, u64::MAX), Window::newest(&ring, u64::MAX)] {
                let [records, missing, _] = told(&window);
                assert!(records == 0 && missing <= SLOTS, "{missing} missing");
                let [missing, _] = told_in_steps(&window, &ring);
                assert!(missing <= SLOTS, "{missing} missing in steps");
            }
            assert_eq!(Grid::new(&ring, 1).iter().count(), 0);
        }
    }
}
