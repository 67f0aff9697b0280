//! An answer of the pbs view from a ring, of whatever kind.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use super::vitals::{Part, Pull};
use crate::encode::{PbsAnswer, PbsPlan, PbsQuery};
use crate::ring::{Ring, Words};
use crate::window::Objects;

/// Answers kept for their memory.
const ANSWERS_POOLED: usize = 16;

/// What outlives one answer.
#[derive(Debug, Default)]
pub(super) struct Answers {
    objects: Objects,
    plan: RefCell<Option<PbsPlan>>,
    pooled: RefCell<Vec<PbsAnswer>>,
}

impl Answers {
    /// Answers about these objects.
    pub(super) fn of(objects: Objects) -> Self {
        Self { objects, ..Self::default() }
    }
}

/// An answer that is being written.
pub(super) struct RingPull<W> {
    ring: Ring<W>,
    answer: PbsAnswer,
    answers: Rc<Answers>,
}

impl<W: Words + Clone> RingPull<W> {
    /// Chooses the generations of `ring` that answer a query at the time `now`, since 1970.
    pub(super) fn begin(
        ring: &Ring<W>,
        answers: &Rc<Answers>,
        history: bool,
        start_s: i64,
        now: Duration,
    ) -> Self {
        let mut answer = answers.pooled.borrow_mut().pop().unwrap_or_default();
        answer.begin(ring, PbsQuery { history, start_s }, now.as_secs() as i64);
        Self { ring: ring.clone(), answer, answers: Rc::clone(answers) }
    }
}

impl<W: Words> Pull for RingPull<W> {
    fn part(&mut self, out: &mut Vec<u8>) -> Part {
        let Answers { plan, objects, .. } = &*self.answers;
        let mut plan = plan.borrow_mut();
        let plan = plan.get_or_insert_with(|| PbsPlan::only(&self.ring, objects.clone()));
        if self.answer.part(&self.ring, plan, out) {
            return Part::More;
        }
        let overrun = self.answer.overrun();
        if overrun > 0 {
            tracing::warn!("{overrun} generations were overwritten before they could be sent");
        }
        Part::Last
    }
}

impl<W> Drop for RingPull<W> {
    fn drop(&mut self) {
        let mut pooled = self.answers.pooled.borrow_mut();
        if pooled.len() < ANSWERS_POOLED {
            pooled.push(std::mem::take(&mut self.answer));
        }
    }
}
