//! `status/datastore-usage`: how full the datastores are.
//!
//! The list and its names are those of Proxmox Backup Server. What that knows of a month, such as when
//! a store will be full, is left out: the ring does not reach back so far.

use std::collections::BTreeMap;

use super::vitals::{PART_BYTES, Part, Pull};
use crate::encode::{push_escaped, push_u64};
use crate::record::Class;
use crate::ring::{Ring, Words};
use crate::window::{Objects, Track};

/// Before the name of a datastore in the id of its object.
const DATASTORE: &str = "datastore/";

/// What the newest record says of a datastore.
#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    total: Option<u64>,
    used: Option<u64>,
    available: Option<u64>,
    mounted: Option<u64>,
}

impl Usage {
    fn write(&self, store: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"store\":");
        push_escaped(out, store);
        let bytes = [("avail", self.available), ("total", self.total), ("used", self.used)];
        for (name, bytes) in bytes.into_iter().filter_map(|(name, bytes)| Some((name, bytes?))) {
            for text in [",\"", name, "\":"] {
                out.extend_from_slice(text.as_bytes());
            }
            push_u64(out, bytes);
        }
        let status = if self.mounted == Some(0) { "notmounted" } else { "mounted" };
        for text in [",\"mount-status\":\"", status, "\"}"] {
            out.extend_from_slice(text.as_bytes());
        }
    }
}

/// The datastores, being written.
pub(super) struct UsagePull {
    stores: std::collections::btree_map::IntoIter<String, Usage>,
    has_begun: bool,
    is_first: bool,
}

impl UsagePull {
    /// The datastores among `objects` in the newest record of `ring`.
    pub(super) fn of<W: Words>(ring: &Ring<W>, objects: &Objects) -> Self {
        let tracks = Track::all(&ring.directory(), |series| {
            Class::of(&series.object) == Some(Class::Datastore) && objects.has(&series.object)
        });
        let stores = ring.latest(|view| {
            let mut stores = BTreeMap::<String, Usage>::new();
            for track in tracks.iter().filter(|track| track.at(view.seq()).is_some()) {
                let name = track.series.object.strip_prefix(DATASTORE);
                // What is below a datastore is no datastore.
                let Some(name) = name.filter(|name| !name.contains('/')) else { continue };
                let usage = stores.entry(name.to_owned()).or_default();
                match &*track.series.metric {
                    "size_bytes" => usage.total = track.u64(&view),
                    "used_bytes" => usage.used = track.u64(&view),
                    "available_bytes" => usage.available = track.u64(&view),
                    "mounted" => usage.mounted = track.u64(&view),
                    _ => {}
                }
            }
            stores
        });
        Self { stores: stores.unwrap_or_default().into_iter(), has_begun: false, is_first: true }
    }
}

impl Pull for UsagePull {
    fn part(&mut self, out: &mut Vec<u8>) -> Part {
        if !std::mem::replace(&mut self.has_begun, true) {
            out.push(b'[');
        }
        while out.len() < PART_BYTES {
            let Some((store, usage)) = self.stores.next() else {
                out.push(b']');
                return Part::Last;
            };
            if !std::mem::take(&mut self.is_first) {
                out.push(b',');
            }
            usage.write(&store, out);
        }
        Part::More
    }
}
