//! The rows of a kernel file, one object or one metric each, remembered by position.
//!
//! The kernel prints the same rows in the same order nearly always. So the name on each line is
//! compared with the name that stood there at the last turn, and the columns are known at once.
//! Only when a name differs is it searched for; a new one is registered, and one that was not
//! met in a text that can be trusted ends.

use super::SampleError;
use super::columns::{Column, Columns};

/// How many turns in a row a line must be missing before it is believed to be gone, in a file whose
/// lines the kernel does not take away while it runs. It is more likely that the text was cut.
pub(super) const PATIENCE_TURNS: u32 = 16;

/// A row that was refused its columns asks again every so many turns: room may have been made, or
/// the name that had its series be gone. They do not all ask at the same turn.
pub(super) const RETRY_TURNS: u32 = 64;

/// What a row is registered as: its columns and a word that does not change while it lives.
pub(super) type Registered<const N: usize> = Result<([Column; N], u8), SampleError>;

/// One line's object or metric, with up to `N` columns.
#[derive(Debug)]
pub(super) struct Row<const N: usize> {
    /// Where its name is among the names of all.
    name_at: u32,
    name_len: u32,
    columns: [Column; N],
    turn: u32,
    line: u32,
    refused: Option<SampleError>,
    /// Which of its columns a row has: rows of one file may differ, and one may change.
    shape: u8,
    /// A word that was found out when the row appeared.
    fixed: u8,
}

impl<const N: usize> Row<N> {
    /// Puts `words` into the row's columns, in order.
    #[inline]
    pub(super) fn put(&self, words: &[u64], columns: &mut Columns<'_>) {
        for (column, word) in self.columns.iter().zip(words) {
            columns.put(*column, *word);
        }
    }

    /// Puts the word that was found out when the row appeared into the last column.
    #[inline]
    pub(super) fn put_fixed(&self, columns: &mut Columns<'_>) {
        if let Some(column) = self.columns.last() {
            columns.put(*column, self.fixed.into());
        }
    }
}

/// The rows of one file.
#[derive(Debug)]
pub(super) struct Rows<const N: usize> {
    rows: Vec<Row<N>>,
    /// All names, in the order of the rows. A recorder wakes up to cold caches: what is read at a
    /// turn lies side by side, so that it is fetched in few lines and ahead of time.
    names: Vec<u8>,
    limit: usize,
    patience: u32,
    turn: u32,
    /// Where the row of the next line is expected.
    next: usize,
    /// Lines of this turn so far, and how many different rows they met.
    lines: u32,
    met: usize,
    /// Some line did not stand where it was expected.
    moved: bool,
    /// How many rows have no columns because they were refused.
    refused: usize,
    outcome: Result<(), SampleError>,
}

impl<const N: usize> Rows<N> {
    /// No rows yet, and never more than `limit`. One that is not met any more ends at once.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            rows: Vec::new(),
            names: Vec::new(),
            limit,
            patience: 1,
            turn: 0,
            next: 0,
            lines: 0,
            met: 0,
            moved: false,
            refused: 0,
            outcome: Ok(()),
        }
    }

    /// The same, but a row must have been missing for [`PATIENCE_TURNS`], and fails until then.
    pub(super) fn patient(limit: usize) -> Self {
        Self { patience: PATIENCE_TURNS, ..Self::new(limit) }
    }

    /// Begins a turn.
    pub(super) fn begin(&mut self) {
        self.turn = self.turn.wrapping_add(1);
        self.next = 0;
        self.lines = 0;
        self.met = 0;
        self.moved = false;
        self.outcome = Ok(());
    }

    /// Whether there is no row.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether there is one row, and it has this name.
    pub(super) fn is_only(&self, name: &[u8]) -> bool {
        matches!(&self.rows[..], [row] if name_of(&self.names, row) == name)
    }

    /// The row of the next line, registered if it is new or its shape has changed; `None` at the
    /// limit.
    #[inline]
    pub(super) fn row(
        &mut self,
        name: &[u8],
        shape: u8,
        columns: &mut Columns<'_>,
        register: impl FnOnce(&mut Columns<'_>) -> Registered<N>,
    ) -> Option<&Row<N>> {
        let expected = self.rows.get(self.next);
        let is_it = |row: &Row<N>| name_of(&self.names, row) == name && row.shape == shape;
        let index = if expected.is_some_and(is_it) {
            if self.refused > 0 && self.asks_again(self.next) {
                self.ask_again(self.next, columns, register);
            }
            self.next
        } else {
            self.place(name, shape, columns, register)?
        };
        let row = self.rows.get_mut(index)?;
        if row.turn != self.turn {
            row.turn = self.turn;
            self.met += 1;
        }
        row.line = self.lines;
        self.lines += 1;
        self.next = index + 1;
        Some(row)
    }

    /// Finds the row `name` or makes it, and says where it lies.
    #[cold]
    fn place(
        &mut self,
        name: &[u8],
        shape: u8,
        columns: &mut Columns<'_>,
        register: impl FnOnce(&mut Columns<'_>) -> Registered<N>,
    ) -> Option<usize> {
        self.moved = true;
        let (before, after) = self.rows.split_at(self.next.min(self.rows.len()));
        let is_it = |row: &Row<N>| name_of(&self.names, row) == name;
        let found = after.iter().position(is_it).map(|index| before.len() + index);
        let found = found.or_else(|| before.iter().position(is_it));
        let index = match found {
            Some(index) if self.rows[index].shape == shape => return Some(index),
            Some(index) => {
                self.forget(index, columns);
                index
            }
            None if self.rows.len() >= self.limit => {
                self.outcome = Err(SampleError::TooMany);
                return None;
            }
            None => before.len(),
        };
        let registered = self.take(columns, register);
        let refused = registered.err();
        self.refused += usize::from(refused.is_some());
        let (taken, fixed) = registered.unwrap_or(([Column::NONE; N], 0));
        let turn = self.turn.wrapping_sub(1);
        let (name_at, name_len) = (self.names.len() as u32, name.len() as u32);
        self.names.extend_from_slice(name);
        let columns = taken;
        let row = Row { name_at, name_len, columns, turn, line: 0, refused, shape, fixed };
        self.rows.insert(index, row);
        Some(index)
    }

    /// Registers a row, whose columns must not be those of another.
    fn take(
        &self,
        columns: &mut Columns<'_>,
        register: impl FnOnce(&mut Columns<'_>) -> Registered<N>,
    ) -> Registered<N> {
        let (taken, fixed) = register(columns)?;
        // Two names may come to one metric once odd characters are replaced. If both had the
        // column, the end of one would leave the other writing where it has no right to.
        let has_it =
            |row: &Row<N>| row.columns[0] != Column::NONE && row.columns.first() == taken.first();
        if self.rows.iter().any(has_it) { Err(SampleError::Ambiguous) } else { Ok((taken, fixed)) }
    }

    /// Whether the row at `index` was refused its columns and this is a turn at which it asks again.
    #[cold]
    fn asks_again(&self, index: usize) -> bool {
        let is_due = |row: &Row<N>| {
            row.refused.is_some() && self.turn.wrapping_add(row.line).is_multiple_of(RETRY_TURNS)
        };
        self.rows.get(index).is_some_and(is_due)
    }

    /// Registers the row at `index`, which was refused, anew.
    #[cold]
    fn ask_again(
        &mut self,
        index: usize,
        columns: &mut Columns<'_>,
        register: impl FnOnce(&mut Columns<'_>) -> Registered<N>,
    ) {
        let registered = self.take(columns, register);
        let Some(row) = self.rows.get_mut(index) else { return };
        row.refused = registered.err();
        if let Ok((taken, fixed)) = registered {
            (row.columns, row.fixed) = (taken, fixed);
            self.refused -= 1;
        }
    }

    /// Ends the series of the row at `index` and removes it.
    fn forget(&mut self, index: usize, columns: &mut Columns<'_>) {
        let row = self.rows.remove(index);
        row.columns.iter().for_each(|&column| columns.end(column));
        self.refused -= usize::from(row.refused.is_some());
        self.met -= usize::from(row.turn == self.turn);
    }

    /// Ends a turn. In a `complete` text a row that was not met is gone, and its series end; in
    /// another it may have been lost on the way, and they only stay absent.
    pub(super) fn finish(
        &mut self,
        complete: bool,
        columns: &mut Columns<'_>,
    ) -> Result<(), SampleError> {
        if complete && self.met != self.rows.len() {
            self.drop_gone(columns);
        }
        if self.moved {
            self.put_in_order();
        }
        if self.met != self.rows.len() {
            return Err(SampleError::Missing);
        }
        if self.refused > 0 {
            let refused = self.rows.iter().find_map(|row| row.refused);
            return self.outcome.and(refused.map_or(Ok(()), Err));
        }
        self.outcome
    }

    /// Ends the series of all rows: what they are of is gone.
    pub(super) fn end(&mut self, columns: &mut Columns<'_>) {
        self.rows
            .drain(..)
            .for_each(|row| row.columns.iter().for_each(|&column| columns.end(column)));
        self.names.clear();
        self.refused = 0;
    }

    /// Lays rows and names in the order of their lines, without the names of rows that are gone.
    #[cold]
    fn put_in_order(&mut self) {
        self.rows.sort_unstable_by_key(|row| row.line);
        let old = std::mem::take(&mut self.names);
        for row in &mut self.rows {
            let at = self.names.len() as u32;
            self.names.extend_from_slice(name_of(&old, row));
            row.name_at = at;
        }
    }

    /// Ends the series of the rows that have been missing for long enough.
    #[cold]
    fn drop_gone(&mut self, columns: &mut Columns<'_>) {
        let (turn, patience) = (self.turn, self.patience);
        // Their names go as well.
        self.moved = true;
        let refused = &mut self.refused;
        self.rows.retain(|row| {
            let stays = turn.wrapping_sub(row.turn) < patience;
            if !stays {
                row.columns.iter().for_each(|&column| columns.end(column));
                *refused -= usize::from(row.refused.is_some());
            }
            stays
        });
    }
}

/// The name of a row; empty if it were to lie outside, which is no row's name.
#[inline]
fn name_of<'a, const N: usize>(names: &'a [u8], row: &Row<N>) -> &'a [u8] {
    let at = row.name_at as usize;
    names.get(at..at + row.name_len as usize).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Change, Record, Schema};

    /// Feeds a turn whose lines are the letters of `names`, and says which letters have a column.
    struct Feed {
        rows: Rows<1>,
        schema: Schema,
        record: Record,
    }

    impl Feed {
        fn new(limit: usize) -> Self {
            Self::of(Rows::new(limit))
        }

        fn of(rows: Rows<1>) -> Self {
            Self { rows, schema: Schema::new(), record: Record::default() }
        }

        fn turn(&mut self, names: &str, complete: bool) -> Result<(), SampleError> {
            self.schema.clear_changes();
            self.record.clear();
            self.rows.begin();
            let mut columns = Columns::new(&mut self.schema, &mut self.record);
            for name in names.chars() {
                let row = self.rows.row(&[name as u8], 0, &mut columns, |columns| {
                    let object = format!("nic/{}", name.to_ascii_lowercase());
                    Ok((columns.add_all(&object, &["receive_bytes"], |_| true)?, 0))
                });
                if let Some(row) = row {
                    row.put(&[u64::from(name)], &mut columns);
                }
            }
            self.rows.finish(complete, &mut columns)
        }

        /// The letters that have a value, in the order of their series' columns.
        fn values(&self) -> String {
            let values = (0..self.schema.width()).filter_map(|column| {
                let value = char::from(self.record.u64(column)? as u8);
                let object = &self.schema.series(column).expect("a value has a series").object;
                assert_eq!(**object, *format!("nic/{}", value.to_ascii_lowercase()));
                Some(value)
            });
            values.collect()
        }
    }

    #[test]
    fn rows_come_go_and_change_places() {
        let mut feed = Feed::new(9);
        assert_eq!(feed.turn("abc", true), Ok(()));
        assert_eq!((feed.values().as_str(), feed.schema.changes().len()), ("abc", 3));
        assert_eq!(feed.turn("abc", true), Ok(()));
        assert!(feed.schema.changes().is_empty());
        assert_eq!(feed.turn("cxab", true), Ok(()));
        assert_eq!(feed.schema.changes(), [Change::Added(3)]);
        assert_eq!(feed.values(), "abcx");
        assert_eq!(feed.turn("cxab", true), Ok(()));
        assert!(!feed.rows.moved, "the new order is remembered");
        assert_eq!(feed.turn("xb", true), Ok(()));
        assert_eq!(feed.schema.len(), 2);
        assert_eq!(feed.values(), "bx");
        assert_eq!(feed.turn("", true), Ok(()));
        assert!(feed.schema.is_empty() && feed.rows.is_empty());
    }

    #[test]
    fn incomplete_text_ends_nothing() {
        let mut feed = Feed::new(9);
        assert_eq!(feed.turn("abc", true), Ok(()));
        assert_eq!(feed.turn("c", false), Err(SampleError::Missing));
        assert!(feed.schema.changes().is_empty());
        assert_eq!(feed.values(), "c");
        assert_eq!(feed.turn("abc", true), Ok(()));
        assert!(feed.schema.changes().is_empty());
        assert_eq!(feed.values(), "abc");
    }

    #[test]
    fn patience_tells_a_cut_text_from_a_line_that_is_gone() {
        let mut feed = Feed::of(Rows::patient(9));
        assert_eq!(feed.turn("abc", true), Ok(()));
        for _ in 1..PATIENCE_TURNS {
            assert_eq!(feed.turn("ab", true), Err(SampleError::Missing));
            assert!(feed.schema.changes().is_empty());
        }
        assert_eq!(feed.turn("ab", true), Ok(()));
        assert_eq!(feed.schema.changes(), [Change::Ended(2)]);
    }

    #[test]
    fn limit_keeps_the_first_rows() {
        let mut feed = Feed::new(2);
        assert_eq!(feed.turn("abc", true), Err(SampleError::TooMany));
        assert_eq!(feed.values(), "ab");
        assert_eq!(feed.turn("ab", true), Ok(()));
    }

    #[test]
    fn two_names_of_one_series_do_not_share_its_column() {
        let mut feed = Feed::new(9);
        assert_eq!(feed.turn("aA", true), Err(SampleError::Ambiguous));
        assert_eq!(feed.values(), "a");
        assert_eq!(feed.turn("a", true), Ok(()));
        assert_eq!((feed.values().as_str(), feed.schema.len()), ("a", 1));
    }

    #[test]
    fn row_that_was_refused_asks_again_until_the_series_is_free() {
        let mut feed = Feed::new(9);
        for _ in 0..2 * RETRY_TURNS {
            assert_eq!(feed.turn("aA", true), Err(SampleError::Ambiguous));
            assert_eq!(feed.values(), "a");
        }
        assert!(feed.schema.changes().is_empty(), "asking in vain leaves no trace");
        let turns = (0..=RETRY_TURNS).take_while(|_| feed.turn("A", true).is_err()).count();
        assert!(turns <= RETRY_TURNS as usize);
        assert_eq!((feed.values().as_str(), feed.schema.len()), ("A", 1));
        assert_eq!((feed.turn("A", true), feed.values().as_str()), (Ok(()), "A"));
    }

    #[test]
    fn row_for_which_there_was_no_room_gets_its_columns_when_there_is() {
        let full = |free| {
            let mut schema = Schema::new();
            for index in free..crate::record::COLUMNS_MAX {
                schema.add(&format!("disk/{index}"), "read_ms").expect("room");
            }
            schema
        };
        let (mut schema, mut record) = (full(1), Record::default());
        let mut rows = Rows::<2>::new(9);
        let mut turn = |schema: &mut Schema| {
            schema.clear_changes();
            record.clear();
            record.set_columns(schema.width());
            rows.begin();
            let mut columns = Columns::new(schema, &mut record);
            for name in ["a", "b"] {
                let row = rows.row(name.as_bytes(), 0, &mut columns, |columns| {
                    let object = format!("nic/{name}");
                    let metrics = ["receive_bytes", "transmit_bytes"];
                    Ok((columns.add_all(&object, &metrics, |_| true)?, 0))
                });
                row.expect("within the limit").put(&[1, 2], &mut columns);
            }
            rows.finish(true, &mut columns)
        };
        for _ in 0..2 * RETRY_TURNS {
            assert_eq!(turn(&mut schema), Err(SampleError::Refused));
            assert!(schema.changes().is_empty(), "a row that has no room takes none");
        }
        (1..4).for_each(|column| schema.end(column));
        let turns = (0..=RETRY_TURNS).take_while(|_| turn(&mut schema).is_err()).count();
        assert!(turns <= RETRY_TURNS as usize);
        assert!(schema.column("nic/a", "receive_bytes").is_some());
        assert!(schema.column("nic/b", "transmit_bytes").is_some());
    }

    #[test]
    fn name_that_stands_twice_is_one_row() {
        let mut feed = Feed::new(9);
        for _ in 0..3 {
            assert_eq!(feed.turn("abab", true), Ok(()));
            assert_eq!((feed.values().as_str(), feed.schema.len()), ("ab", 2));
        }
    }
}
