//! `/proc/softirqs`: how often each CPU did each kind of deferred work.
//!
//! ```text
//!                     CPU0       CPU1
//!           HI:          0          0
//!        TIMER:     287440     256803
//!       NET_TX:          4          0
//!       NET_RX:    1470470    2676592
//! ```
//!
//! A line for each kind and a column for each CPU that the machine may ever have; one that was never
//! on-line has zeros, and gets no series.

use std::path::Path;

use crate::record::{ABSENT, Class, object_id};

use super::columns::Columns;
use super::cpu_table;
use super::rows::Rows;
use super::source::Source;
use super::text::{Shown, TextFile};
use super::{Roots, SampleError};

/// Most CPUs that are followed; the kernel can be built for as many.
const CPUS_MAX: usize = 8192;

/// How many kinds there are.
const KINDS: usize = 10;

/// What is before the colon, and the metric.
const NAMES: [(&[u8], &str); KINDS] = [
    (b"HI", "softirq_hi"),
    (b"TIMER", "softirq_timer"),
    (b"NET_TX", "softirq_net_tx"),
    (b"NET_RX", "softirq_net_rx"),
    (b"BLOCK", "softirq_block"),
    (b"IRQ_POLL", "softirq_irq_poll"),
    (b"TASKLET", "softirq_tasklet"),
    (b"SCHED", "softirq_sched"),
    (b"HRTIMER", "softirq_hrtimer"),
    (b"RCU", "softirq_rcu"),
];

/// What a kind was called before Linux 4.5, and its number.
const OLD_NAME: (&[u8], usize) = (b"BLOCK_IOPOLL", 5);

/// The source.
pub(super) struct Softirqs {
    file: TextFile,
    /// By CPU, in the order of the heading: what the text has by kind.
    counts: Vec<[u64; KINDS]>,
    /// The kinds that the text had at the last turn.
    kinds: [bool; KINDS],
    cpus: Rows<KINDS>,
}

impl Softirqs {
    pub(super) fn new(roots: &Roots) -> Self {
        Self {
            file: TextFile::new(roots.procfs.join("softirqs"), Shown::Whole),
            counts: Vec::new(),
            kinds: [false; KINDS],
            cpus: Rows::patient(CPUS_MAX),
        }
    }
}

impl Source for Softirqs {
    fn path(&self) -> &Path {
        self.file.path()
    }

    fn turn(&mut self, columns: &mut Columns<'_>) -> Result<(), SampleError> {
        let Self { file, counts, kinds, cpus } = self;
        let text = file.read()?;
        counts.clear();
        let mut all = None;
        let before = std::mem::take(kinds);
        let parsed = cpu_table::parse(text, |line| {
            let Some(kind) = kind(line.name).filter(|_| line.is_by_cpu) else { return };
            kinds[kind] = true;
            all.get_or_insert_with(|| line.counts.clone());
            for (index, (_, count)) in line.counts.enumerate().take(CPUS_MAX) {
                if index == counts.len() {
                    counts.push([ABSENT; KINDS]);
                }
                counts[index][kind] = count;
            }
        });
        cpus.begin();
        for ((number, _), words) in all.into_iter().flatten().zip(&*counts) {
            if words.iter().all(|&word| word == 0 || word == ABSENT) {
                continue;
            }
            let row = cpus.row(number, 0, columns, |columns| {
                let object = object_id(Class::Cpu, number);
                Ok((columns.add_all(&object, &NAMES.map(|(_, metric)| metric), |_| true)?, 0))
            });
            if let Some(row) = row {
                row.put(words, columns);
            }
        }
        let is_missing = before.iter().zip(&*kinds).any(|(before, now)| before & !now);
        let parsed = parsed.and(if is_missing { Err(SampleError::Missing) } else { Ok(()) });
        parsed.and(cpus.finish(parsed.is_ok(), columns))
    }
}

fn kind(name: &[u8]) -> Option<usize> {
    let known = NAMES.iter().position(|(known, _)| *known == name);
    known.or_else(|| (name == OLD_NAME.0).then_some(OLD_NAME.1))
}
