//! What somebody sees of rings, and what is kept of it from one answer to the next.

use std::cell::RefCell;
use std::rc::Rc;

use super::limits::RINGS_MAX;
use super::ring_pull::Answers;
use super::scrapes::Scrapes;
use crate::rights::{Recorder, Sight};
use crate::ring::{Ring, RingKind, Words};
use crate::window::Objects;

/// The rings as somebody sees them.
#[derive(Debug)]
pub(super) struct Seen {
    sight: Rc<Sight>,
    rings: RefCell<Vec<Rc<SeenRing>>>,
}

/// A ring as somebody sees it.
#[derive(Debug)]
pub(super) struct SeenRing {
    name: String,
    kind: RingKind,
    /// Which objects.
    pub(super) objects: Objects,
    /// Of the pbs view.
    pub(super) answers: Rc<Answers>,
    /// Of the prometheus view.
    pub(super) scrapes: Rc<Scrapes>,
}

impl Seen {
    /// The rings as `sight` shows them.
    pub(super) fn by(sight: Rc<Sight>) -> Self {
        Self { sight, rings: RefCell::default() }
    }

    /// What is seen of `ring`, which is called this.
    pub(super) fn ring<W: Words>(&self, name: &str, ring: &Ring<W>) -> Rc<SeenRing> {
        let kind = ring.header().kind();
        let mut rings = self.rings.borrow_mut();
        if let Some(known) = rings.iter().find(|known| known.name == name && known.kind == kind) {
            return Rc::clone(known);
        }
        // The one that was seen first may have gone.
        if rings.len() > RINGS_MAX {
            rings.remove(0);
        }
        let objects = self.objects(kind, name);
        let seen = Rc::new(SeenRing {
            name: name.to_owned(),
            kind,
            answers: Rc::new(Answers::of(objects.clone())),
            scrapes: Rc::new(Scrapes::of(name, objects.clone())),
            objects,
        });
        rings.push(Rc::clone(&seen));
        seen
    }

    /// Whether anything is seen of a ring. To whom it is not shown, there is none.
    pub(super) fn has(&self, kind: RingKind, name: &str) -> bool {
        self.sight.shows_any(recorder(kind, name))
    }

    /// Whether everything is seen that a host says of itself.
    pub(super) fn has_host(&self) -> bool {
        self.sight.shows_host()
    }

    fn objects(&self, kind: RingKind, name: &str) -> Objects {
        if self.sight.is_everything() {
            return Objects::all();
        }
        let (sight, name) = (Rc::clone(&self.sight), name.to_owned());
        Objects::only(move |object| sight.shows(recorder(kind, &name), object))
    }
}

fn recorder(kind: RingKind, name: &str) -> Recorder<'_> {
    match kind {
        RingKind::Lane => Recorder::Host,
        RingKind::Application => Recorder::Application(name),
    }
}
