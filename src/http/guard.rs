//! Who sends a request, and what they see.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hyper::header::{self, HeaderMap};

use super::limits::{
    ACCESS_LOOK_PAUSE, FAILURE_PLACES_MAX, FAILURES_MAX, FAILURES_TIME, PRINCIPALS_MAX, VIEWS_MAX,
};
use super::socket::{Neighbour, Peer};
use super::vitals::Vitals;
use crate::rights::{Access, AccessFiles, AclPath, AuthId, Credentials, Permissions, Sight};
use crate::ring::realtime_ns;

/// Somebody whose requests are answered.
pub(crate) struct Principal {
    pub(crate) id: AuthId,
    pub(crate) sight: Rc<Sight>,
    /// The data as they see it.
    pub(crate) vitals: Rc<dyn Vitals>,
}

impl Principal {
    /// What is kept for them is kept under this name; under none for whoever says nothing.
    pub(crate) fn name(&self) -> &str {
        if self.id.is_anonymous() { "" } else { self.id.as_str() }
    }
}

/// Somebody whose requests are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// They do not say who they are, or cannot prove it.
    Unproven,
    /// Too many who could not came from the same place.
    TooMany,
}

/// Lets in whoever proves who they are.
pub(crate) struct Guard {
    vitals: Rc<dyn Vitals>,
    /// Without any, everybody sees everything.
    access: Option<RefCell<Roll>>,
    views: RefCell<Vec<View>>,
    everybody: Rc<Principal>,
    failures: RefCell<HashMap<Option<Neighbour>, Failures>>,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").finish_non_exhaustive()
    }
}

/// The data as a sight shows it.
type View = (Rc<Sight>, Rc<dyn Vitals>);

/// Who there is, as the files said last.
struct Roll {
    files: AccessFiles,
    access: Access,
    looked: Instant,
    /// Those who have been here since.
    principals: BTreeMap<AuthId, Rc<Principal>>,
}

/// Failures that came from one place.
struct Failures {
    since: Instant,
    count: Cell<u32>,
}

impl Guard {
    /// Lets everybody see everything.
    pub(crate) fn open(vitals: Rc<dyn Vitals>) -> Self {
        let sight = Rc::new(Sight::everything());
        let seen = Rc::clone(&vitals);
        let everybody = Principal { id: AuthId::anonymous(), sight, vitals: seen };
        Self {
            vitals,
            access: None,
            views: RefCell::default(),
            everybody: Rc::new(everybody),
            failures: RefCell::default(),
        }
    }

    /// Lets see what the files say, which are read again when they change.
    pub(crate) fn by(vitals: Rc<dyn Vitals>, (files, access): (AccessFiles, Access)) -> Self {
        let (looked, principals) = (Instant::now(), BTreeMap::new());
        let roll = Roll { files, access, looked, principals };
        Self { access: Some(RefCell::new(roll)), ..Self::open(vitals) }
    }

    /// Who sends a request.
    ///
    /// Whoever says nothing of who they are may be known as a user of the machine. If not, they are
    /// somebody, too, if anything is shown to them.
    pub(crate) fn principal(
        &self,
        headers: &HeaderMap,
        peer: Peer,
    ) -> Result<Rc<Principal>, Denied> {
        let Some(roll) = &self.access else { return Ok(Rc::clone(&self.everybody)) };
        let mut roll = roll.borrow_mut();
        self.refresh(&mut roll);
        let mut said = headers.get_all(header::AUTHORIZATION).iter();
        let principal = match (said.next(), said.next()) {
            (None, _) => {
                let uid = if let Peer::Unix(uid) = peer { uid } else { None };
                let user = uid.and_then(|uid| roll.access.of_uid(uid, now_s()).cloned());
                match user {
                    Some(user) => Some(self.known(&mut roll, &user)),
                    None => Some(self.known(&mut roll, &self.everybody.id))
                        .filter(|anonymous| !anonymous.sight.is_nothing()),
                }
            }
            (Some(value), None) => {
                let credentials = Credentials::parse(value.as_bytes()).ok();
                let proven = credentials.filter(|said| roll.access.proves(said, now_s()));
                proven.map(|proven| self.known(&mut roll, &proven.id))
            }
            (Some(_), Some(_)) => None,
        };
        principal.ok_or_else(|| self.failed(peer))
    }

    /// Whether somebody who was let in may go on to see what they were shown.
    pub(crate) fn still_shows(&self, principal: &Principal) -> bool {
        let Some(roll) = &self.access else { return true };
        let mut roll = roll.borrow_mut();
        self.refresh(&mut roll);
        roll.access.is_active(&principal.id, now_s())
            && *self.known(&mut roll, &principal.id).sight == *principal.sight
    }

    /// Where somebody may do something, and what. Nothing is said where everybody sees everything.
    pub(crate) fn permissions(&self, id: &AuthId) -> Vec<(AclPath, Permissions)> {
        self.access.as_ref().map(|roll| roll.borrow().access.permissions(id)).unwrap_or_default()
    }

    fn known(&self, roll: &mut Roll, id: &AuthId) -> Rc<Principal> {
        if let Some(known) = roll.principals.get(id) {
            return Rc::clone(known);
        }
        let (sight, vitals) = self.view(roll.access.sight(id));
        let principal = Rc::new(Principal { id: id.clone(), sight, vitals });
        if roll.principals.len() == PRINCIPALS_MAX {
            roll.principals.clear();
        }
        roll.principals.insert(id.clone(), Rc::clone(&principal));
        principal
    }

    /// The data as `sight` shows it: the same for all who see the same.
    fn view(&self, sight: Sight) -> View {
        let mut views = self.views.borrow_mut();
        if let Some((known, vitals)) = views.iter().find(|(known, _)| **known == sight) {
            return (Rc::clone(known), Rc::clone(vitals));
        }
        let sight = Rc::new(sight);
        let vitals = self.vitals.seen_by(&sight);
        if views.len() == VIEWS_MAX {
            views.remove(0);
        }
        views.push((Rc::clone(&sight), Rc::clone(&vitals)));
        (sight, vitals)
    }

    /// Sees to it that the roll is what the files say, or said a second ago.
    fn refresh(&self, roll: &mut Roll) {
        if roll.looked.elapsed() < ACCESS_LOOK_PAUSE {
            return;
        }
        roll.looked = Instant::now();
        match roll.files.changed() {
            None => {}
            Some(Ok(access)) => {
                tracing::info!("the files that say who may what have changed and are in force");
                roll.access = access;
                roll.principals.clear();
                self.views.borrow_mut().clear();
            }
            Some(Err(error)) => {
                tracing::error!("who may what stays as it was: {error}");
            }
        }
    }

    /// Counts that somebody there could not prove who they are.
    fn failed(&self, peer: Peer) -> Denied {
        let mut failures = self.failures.borrow_mut();
        let place = Neighbour::of(peer);
        let is_old = |failures: &Failures| failures.since.elapsed() >= FAILURES_TIME;
        if failures.len() == FAILURE_PLACES_MAX && !failures.contains_key(&place) {
            failures.retain(|_, failures| !is_old(failures));
            if failures.len() == FAILURE_PLACES_MAX {
                return Denied::TooMany;
            }
        }
        let fresh = || Failures { since: Instant::now(), count: Cell::new(0) };
        let entry = failures.entry(place).or_insert_with(fresh);
        if is_old(entry) {
            *entry = fresh();
        }
        entry.count.set(entry.count.get().saturating_add(1));
        if entry.count.get() > FAILURES_MAX { Denied::TooMany } else { Denied::Unproven }
    }
}

/// The time in seconds since 1970.
fn now_s() -> i64 {
    (realtime_ns() / 1_000_000_000) as i64
}

/// How long a client waits that is told to come again later.
pub(crate) const COME_AGAIN: Duration = FAILURES_TIME;
