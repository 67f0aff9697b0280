//! Which objects an answer may be about.

use std::fmt;
use std::rc::Rc;

/// Some objects, or all: what somebody may see of a ring.
#[derive(Clone, Default)]
pub struct Objects(Option<Rc<Has>>);

type Has = dyn Fn(&str) -> bool;

impl Objects {
    /// All of them.
    #[must_use]
    pub fn all() -> Self {
        Self(None)
    }

    /// Those that `has` says yes to. It must always say the same of the same.
    #[must_use]
    pub fn only(has: impl Fn(&str) -> bool + 'static) -> Self {
        Self(Some(Rc::new(has)))
    }

    /// Whether this object is one of them.
    #[inline]
    #[must_use]
    pub fn has(&self, object: &str) -> bool {
        self.0.as_ref().is_none_or(|has| has(object))
    }
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_none() { "Objects::all" } else { "Objects::only" })
    }
}
