//! What the server says of itself at the end of `/metrics`.

use std::rc::Rc;

use super::counters::Counters;
use super::vitals::{Part, Pull};
use crate::encode::prometheus::Exposition;
use crate::encode::push_u64;

/// The counts that were told with a record. Whoever asks again for the same record gets the same
/// answer, byte by byte.
#[derive(Debug, Default)]
pub(crate) struct Told {
    record: Option<([u64; 2], u64)>,
    counters: Rc<Counters>,
}

impl Told {
    /// What is to be told with the record `seq` of the ring with this id, if `now` is what there is
    /// to tell now.
    pub(crate) fn counters(&mut self, now: &Counters, ring: [u64; 2], seq: u64) -> Rc<Counters> {
        if self.record.replace((ring, seq)) != Some((ring, seq)) {
            match Rc::get_mut(&mut self.counters) {
                Some(counters) => counters.clone_from(now),
                // An answer with the former ones is still being written.
                None => self.counters = Rc::new(now.clone()),
            }
        }
        Rc::clone(&self.counters)
    }
}

/// An answer with the server's own families behind it.
pub(crate) struct Own {
    pull: Box<dyn Pull>,
    exposition: Exposition,
    counters: Rc<Counters>,
}

impl Own {
    /// The collector that they belong to.
    pub(crate) const COLLECTOR: &'static str = "tachograph";

    pub(crate) fn after(
        pull: Box<dyn Pull>,
        exposition: Exposition,
        counters: Rc<Counters>,
    ) -> Self {
        Self { pull, exposition, counters }
    }
}

impl Pull for Own {
    fn part(&mut self, out: &mut Vec<u8>) -> Part {
        let part = self.pull.part(out);
        if part == Part::Last {
            write(self.exposition, &self.counters, out);
        }
        part
    }
}

const PREFIX: &str = "tachograph_http_";

fn write(exposition: Exposition, counters: &Counters, out: &mut Vec<u8>) {
    // In OpenMetrics the suffix belongs to the sample and not to the family.
    let (suffix, order) = match exposition {
        Exposition::Text => ("_total", [0, 1]),
        Exposition::OpenMetrics => ("", [1, 0]),
    };
    for ((name, count), help) in counters.each().zip(Counters::HELP) {
        let lines = [
            ["# HELP ", PREFIX, name, suffix, help, "\n"],
            ["# TYPE ", PREFIX, name, suffix, " counter", "\n"],
        ];
        let sample = [PREFIX, name, "_total "];
        for piece in order.iter().flat_map(|&line| lines[line]).chain(sample) {
            out.extend_from_slice(piece.as_bytes());
        }
        push_u64(out, count);
        out.push(b'\n');
    }
}
