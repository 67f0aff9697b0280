//! The last answers to `/metrics`. Whoever asks for the same record in the same form is given the same
//! bytes, which nobody has to write anew.

use std::cell::RefCell;

use super::limits::ANSWERS_KEPT;
use super::pool::Buffer;
use super::scrapes::ScrapeWanted;
use super::tag::Version;

/// A few answers, the one that was kept last at the end.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    answers: RefCell<Vec<Answer>>,
}

#[derive(Debug)]
struct Answer {
    /// Whose sight it shows.
    rights: u64,
    version: Version,
    wanted: ScrapeWanted,
    text: Buffer,
}

impl Kept {
    /// The answer to `wanted` from this state of the data, if it is kept.
    pub(crate) fn find(
        &self,
        rights: u64,
        version: Version,
        wanted: &ScrapeWanted,
    ) -> Option<Buffer> {
        let answers = self.answers.borrow();
        let is_it = |answer: &&Answer| {
            (answer.rights, answer.version) == (rights, version) && answer.wanted == *wanted
        };
        answers.iter().rev().find(is_it).map(|answer| answer.text.shared())
    }

    /// Keeps an answer, in the place of the one to the same question if there is one, and else of the
    /// one that was kept first.
    pub(crate) fn keep(&self, rights: u64, version: Version, wanted: &ScrapeWanted, text: Buffer) {
        let mut answers = self.answers.borrow_mut();
        let is_same = |answer: &Answer| answer.rights == rights && answer.wanted == *wanted;
        let same = answers.iter().position(is_same);
        let wanted = match same {
            Some(place) => answers.remove(place).wanted,
            None => {
                if answers.len() == ANSWERS_KEPT {
                    answers.remove(0);
                }
                wanted.clone()
            }
        };
        answers.push(Answer { rights, version, wanted, text });
    }
}
