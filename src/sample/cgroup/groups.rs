//! The groups that have series: what all hierarchies say of one path.

use std::collections::HashMap;
use std::ops::Range;

use super::super::SampleError;
use super::super::columns::{Column, Columns};
use super::files::{METRICS, Words, may_be_absent};
use crate::record::{ABSENT, Class, OBJECT_ID_BYTES_MAX, object_id};

/// A group's place among [`Groups`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GroupIndex(u32);

/// Number of a hierarchy.
pub(super) type Hierarchy = u8;

/// The groups that have series, by path.
#[derive(Debug)]
pub(super) struct Groups {
    by_path: HashMap<Box<[u8]>, GroupIndex>,
    groups: Vec<Option<Group>>,
    free: Vec<GroupIndex>,
    count_max: usize,
}

#[derive(Debug)]
struct Group {
    path: Box<[u8]>,
    object: Box<str>,
    /// How many hierarchies have it.
    uses: u32,
    columns: [Column; METRICS.len()],
    /// Which hierarchy a metric is taken from: two may have it, and may hold different tasks.
    owners: [Hierarchy; METRICS.len()],
}

impl Groups {
    pub(super) fn new(count_max: usize) -> Self {
        Self { by_path: HashMap::new(), groups: Vec::new(), free: Vec::new(), count_max }
    }

    /// Whether there is room for another path.
    pub(super) fn has_room(&self) -> bool {
        self.by_path.len() < self.count_max
    }

    /// The group at `path`, for one more hierarchy.
    pub(super) fn claim(&mut self, path: &[u8]) -> Result<GroupIndex, SampleError> {
        if let Some(&index) = self.by_path.get(path) {
            if let Some(group) = self.group_mut(index) {
                group.uses += 1;
            }
            return Ok(index);
        }
        if !self.has_room() {
            return Err(SampleError::TooMany);
        }
        let object = object_id(Class::Cgroup, path).into_boxed_str();
        if object.len() > OBJECT_ID_BYTES_MAX {
            return Err(SampleError::Refused);
        }
        let group = Group {
            path: path.into(),
            object,
            uses: 1,
            columns: [Column::NONE; METRICS.len()],
            owners: [0; METRICS.len()],
        };
        let index = self.free.pop().unwrap_or_else(|| {
            self.groups.push(None);
            GroupIndex(self.groups.len() as u32 - 1)
        });
        self.groups[index.0 as usize] = Some(group);
        self.by_path.insert(path.into(), index);
        Ok(index)
    }

    /// Ends what `hierarchy` gave to a group, which is gone from it.
    pub(super) fn release(
        &mut self,
        index: GroupIndex,
        hierarchy: Hierarchy,
        columns: &mut Columns<'_>,
    ) {
        self.end(index, hierarchy, 0..METRICS.len(), columns);
        let Some(group) = self.group_mut(index) else { return };
        group.uses -= 1;
        if group.uses == 0 {
            let path = std::mem::take(&mut group.path);
            self.by_path.remove(&path);
            self.groups[index.0 as usize] = None;
            self.free.push(index);
        }
    }

    /// Ends those of `metrics` that `hierarchy` gave to a group.
    pub(super) fn end(
        &mut self,
        index: GroupIndex,
        hierarchy: Hierarchy,
        metrics: Range<usize>,
        columns: &mut Columns<'_>,
    ) {
        let Some(group) = self.group_mut(index) else { return };
        let places = group.columns.iter_mut().zip(&group.owners);
        for (column, owner) in places.skip(metrics.start).take(metrics.len()) {
            if *owner == hierarchy {
                columns.end(std::mem::replace(column, Column::NONE));
            }
        }
    }

    /// Whether all of `metrics` are taken from another hierarchy.
    #[inline]
    pub(super) fn is_anothers(
        &self,
        index: GroupIndex,
        hierarchy: Hierarchy,
        mut metrics: Range<usize>,
    ) -> bool {
        let Some(Some(group)) = self.groups.get(index.0 as usize) else { return false };
        metrics.all(|metric| {
            let column = group.columns.get(metric).copied().unwrap_or(Column::NONE);
            column != Column::NONE && group.owners.get(metric) != Some(&hierarchy)
        })
    }

    /// Puts what `hierarchy` says of a group, and registers what it says for the first time.
    #[inline]
    pub(super) fn put(
        &mut self,
        index: GroupIndex,
        hierarchy: Hierarchy,
        metrics: Range<usize>,
        words: &Words,
        columns: &mut Columns<'_>,
    ) -> Result<(), SampleError> {
        let mut outcome = Ok(());
        let Some(Some(group)) = self.groups.get_mut(index.0 as usize) else { return outcome };
        let Group { object, columns: places, owners, .. } = group;
        for (metric, word) in words.iter().enumerate().take(metrics.end).skip(metrics.start) {
            if places[metric] == Column::NONE {
                if *word == ABSENT {
                    continue;
                }
                match columns.add(object, METRICS[metric]) {
                    Ok(column) => (places[metric], owners[metric]) = (column, hierarchy),
                    Err(error) => outcome = Err(error),
                }
            }
            if owners[metric] == hierarchy {
                columns.put(places[metric], *word);
                if *word == ABSENT && !may_be_absent(metric) {
                    outcome = outcome.and(Err(SampleError::Missing));
                }
            }
        }
        outcome
    }

    fn group_mut(&mut self, index: GroupIndex) -> Option<&mut Group> {
        self.groups.get_mut(index.0 as usize)?.as_mut()
    }
}
