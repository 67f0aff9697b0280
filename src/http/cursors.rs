//! Named places in rings, so that a client need not remember how far it has read.
//!
//! A cursor belongs to a principal and a ring. It says which record its client was given last, and
//! moves on only when an answer has been written to its end; if the connection is then reset before
//! the client has asked for anything else, it is moved back again: a client that died in the middle
//! of an answer did not get it. So records may be given twice, and none is left out.
//!
//! A client that does not read an answer to its end, because it waits no longer than so long, would be
//! given the same one again and never get further. So what a cursor gives at once is halved then, and
//! grows again slowly while it is read.
//!
//! Cursors outlive the server, in a small JSON file. One that nobody has used for [`CURSOR_LIFE`] is
//! forgotten. Where the ring has been replaced by another one, a cursor goes on by the time of its
//! record.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde_json::{Map, Value, json};

use super::limits::{CURSOR_FILE_BYTES_MAX, CURSOR_LIFE, CURSOR_RECORDS_MIN, CURSORS_MAX};
use super::watch::Receipt;
use crate::encode::prometheus::HISTORY_RECORDS_MAX;

/// Longest name of a cursor.
const NAME_BYTES_MAX: usize = 64;

/// Whether a cursor can be called this.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_part)
}

/// A record of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Id of the ring.
    pub ring: [u64; 2],
    /// The record.
    pub seq: u64,
    /// When it was taken, in nanoseconds since 1970.
    pub realtime_ns: u64,
}

/// Whose cursor it is, and for which ring.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CursorKey {
    /// Who asks; empty for everybody who is not known by name.
    pub principal: String,
    /// Name of the ring.
    pub ring: String,
    /// Name of the cursor.
    pub name: String,
}

/// A cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Whose it is.
    pub key: CursorKey,
    /// What its client was given last; `None` before the first answer has been written.
    pub mark: Option<Mark>,
    /// Most records that its client is given at once, from [`CURSOR_RECORDS_MIN`] to
    /// [`HISTORY_RECORDS_MAX`].
    pub records_max: usize,
    /// When it was used last, in seconds since 1970.
    pub used_s: u64,
}

impl Cursor {
    fn of(key: CursorKey, used_s: u64) -> Self {
        Self { key, mark: None, records_max: HISTORY_RECORDS_MAX, used_s }
    }

    /// After an answer of so many records was read.
    fn grow(&mut self, records: usize) {
        if records >= self.records_max {
            let more = self.records_max + self.records_max / 8;
            self.records_max = more.min(HISTORY_RECORDS_MAX);
        }
    }

    /// After an answer of so many records was not read to its end.
    fn shrink(&mut self, records: usize) {
        self.records_max = (records.min(self.records_max) / 2).max(CURSOR_RECORDS_MIN);
        let (name, at_most) = (&self.key.name, self.records_max);
        tracing::info!(
            "cursor {name}: {records} records were not read to the end, {at_most} are next"
        );
    }
}

/// There are [`CURSORS_MAX`] cursors, all of them in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyCursors;

impl fmt::Display for TooManyCursors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hours = CURSOR_LIFE.as_secs() / 3600;
        write!(f, "there are {CURSORS_MAX} cursors, none of them unused for {hours} h")
    }
}

/// The cursors of a server.
#[derive(Debug, Default)]
pub(crate) struct Cursors {
    list: RefCell<Vec<Cursor>>,
    /// Where they are kept; nowhere, if there is none.
    path: Option<PathBuf>,
    /// Whether it has been told that they could not be kept.
    is_told: Cell<bool>,
}

impl Cursors {
    /// The cursors that are kept in the file at `path`, whether it is there yet or not. One that
    /// cannot be understood is set aside and told.
    pub(crate) fn kept_in(path: Option<PathBuf>) -> Rc<Self> {
        let list = path.as_deref().map(load).unwrap_or_default();
        Rc::new(Self { list: RefCell::new(list), path, is_told: Cell::new(false) })
    }

    /// The mark of a cursor, which is made if it is not there yet, and how many records it gives at
    /// most.
    pub(crate) fn find(
        &self,
        key: &CursorKey,
        now_s: u64,
    ) -> Result<(Option<Mark>, usize), TooManyCursors> {
        let mut list = self.list.borrow_mut();
        if let Some(cursor) = list.iter_mut().find(|cursor| cursor.key == *key) {
            cursor.used_s = now_s;
            return Ok((cursor.mark, cursor.records_max));
        }
        list.retain(|cursor| now_s.saturating_sub(cursor.used_s) < CURSOR_LIFE.as_secs());
        if list.len() == CURSORS_MAX {
            return Err(TooManyCursors);
        }
        list.push(Cursor::of(key.clone(), now_s));
        Ok((None, HISTORY_RECORDS_MAX))
    }

    /// Changes a cursor, unless it is elsewhere than `at` by now.
    fn change(&self, key: &CursorKey, at: Option<Mark>, change: impl FnOnce(&mut Cursor)) {
        let mut list = self.list.borrow_mut();
        let cursor = list.iter_mut().find(|cursor| cursor.key == *key && cursor.mark == at);
        let Some(cursor) = cursor else { return };
        change(cursor);
        self.keep(&list);
    }

    fn keep(&self, list: &[Cursor]) {
        let Some(path) = &self.path else { return };
        match save(path, list) {
            Ok(()) => self.is_told.set(false),
            Err(error) => {
                if !self.is_told.replace(true) {
                    let path = path.display();
                    tracing::warn!("cursors are forgotten with this process: {path}: {error}");
                }
            }
        }
    }
}

/// What happens to a cursor with an answer.
pub(crate) struct CursorReceipt {
    pub(crate) cursors: Rc<Cursors>,
    pub(crate) key: CursorKey,
    pub(crate) from: Option<Mark>,
    pub(crate) to: Mark,
    /// How many records it has.
    pub(crate) records: usize,
}

impl Receipt for CursorReceipt {
    fn sent(&self) {
        self.cursors.change(&self.key, self.from, |cursor| {
            cursor.mark = Some(self.to);
            cursor.grow(self.records);
        });
    }

    fn lost(&self) {
        self.cursors.change(&self.key, Some(self.to), |cursor| {
            cursor.mark = self.from;
            cursor.shrink(self.records);
        });
    }

    fn cut(&self) {
        self.cursors.change(&self.key, self.from, |cursor| cursor.shrink(self.records));
    }
}

fn load(path: &Path) -> Vec<Cursor> {
    let read = || -> io::Result<Vec<Cursor>> {
        let size = fs::metadata(path)?.len();
        let text = if size > CURSOR_FILE_BYTES_MAX { Vec::new() } else { fs::read(path)? };
        decode(&text).map_err(|wrong| io::Error::new(io::ErrorKind::InvalidData, wrong))
    };
    match read() {
        Ok(list) => list,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            let aside = path.with_extension("json.bad");
            let kept = fs::rename(path, &aside).is_ok();
            let fate =
                if kept { "it is kept beside it, as .bad" } else { "it cannot be set aside" };
            tracing::warn!("no cursors in {}: {error}; {fate}", path.display());
            Vec::new()
        }
    }
}

fn save(path: &Path, list: &[Cursor]) -> io::Result<()> {
    let fresh = path.with_extension("json.tmp");
    fs::write(&fresh, encode(list))?;
    fs::rename(&fresh, path)
}

/// The file of a list of cursors.
#[must_use]
pub fn encode(list: &[Cursor]) -> Vec<u8> {
    let line = |cursor: &Cursor| {
        let Cursor { key, mark, records_max, used_s } = cursor;
        let CursorKey { principal, ring, name } = key;
        let mark = mark.map(|mark| {
            let [high, low] = mark.ring;
            json!({"ring_id": format!("{high:016x}{low:016x}"), "seq": mark.seq,
                   "realtime_ns": mark.realtime_ns})
        });
        json!({"principal": principal, "ring": ring, "name": name, "mark": mark,
               "records_max": records_max, "used": used_s})
    };
    let list: Vec<_> = list.iter().map(line).collect();
    format!("{:#}\n", json!({"version": 1, "cursors": list})).into_bytes()
}

/// The cursors of a file.
///
/// # Errors
///
/// What is wrong with the first one that is not sound, or with the whole.
pub fn decode(text: &[u8]) -> Result<Vec<Cursor>, String> {
    let file: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if file["version"] != 1 {
        return Err("\"version\" is not 1".to_owned());
    }
    let list = file["cursors"].as_array().ok_or("\"cursors\" is no list")?;
    if list.len() > CURSORS_MAX {
        return Err(format!("there are {} cursors; {CURSORS_MAX} is the most", list.len()));
    }
    let cursor = |(index, value): (usize, &Value)| {
        let cursor = value.as_object().and_then(decode_cursor);
        cursor.ok_or_else(|| format!("cursor {index} is not sound"))
    };
    list.iter().enumerate().map(cursor).collect()
}

fn decode_cursor(value: &Map<String, Value>) -> Option<Cursor> {
    let text = |name: &str| value.get(name)?.as_str().map(str::to_owned);
    let key = CursorKey { principal: text("principal")?, ring: text("ring")?, name: text("name")? };
    let mark = match value.get("mark")? {
        Value::Null => None,
        mark => Some(decode_mark(mark)?),
    };
    is_name(&key.name).then_some(())?;
    let records_max = usize::try_from(value.get("records_max")?.as_u64()?).ok()?;
    (CURSOR_RECORDS_MIN..=HISTORY_RECORDS_MAX).contains(&records_max).then_some(())?;
    Some(Cursor { key, mark, records_max, used_s: value.get("used")?.as_u64()? })
}

fn decode_mark(value: &Value) -> Option<Mark> {
    let id = value.get("ring_id")?.as_str()?;
    let is_hex = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let half = |at: usize| u64::from_str_radix(id.get(at..at + 16)?, 16).ok();
    let ring = [half(0)?, half(16)?];
    let number = |name: &str| value.get(name)?.as_u64();
    is_hex.then_some(Mark { ring, seq: number("seq")?, realtime_ns: number("realtime_ns")? })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(name: &str) -> CursorKey {
        CursorKey { principal: String::new(), ring: "host".into(), name: name.into() }
    }

    fn mark(seq: u64) -> Mark {
        Mark { ring: [u64::MAX, 1], seq, realtime_ns: seq * 1_000_000_000 }
    }

    fn scratch() -> PathBuf {
        let name =
            format!("tachograph-cursors-{}-{:?}", std::process::id(), std::thread::current().id());
        let dir = std::env::temp_dir().join(name);
        fs::create_dir_all(&dir).expect("a directory");
        dir
    }

    fn found(cursors: &Cursors, now_s: u64) -> Option<Mark> {
        cursors.find(&key("a"), now_s).expect("room").0
    }

    #[test]
    fn cursor_moves_when_its_answer_was_sent_and_back_when_it_was_lost() {
        let cursors = Cursors::kept_in(None);
        assert_eq!(found(&cursors, 0), None);
        let receipt = |from, to| {
            let (cursors, key) = (Rc::clone(&cursors), key("a"));
            CursorReceipt { cursors, key, from, to, records: 1 }
        };
        let first = receipt(None, mark(5));
        first.cut();
        assert_eq!(found(&cursors, 1), None);
        first.sent();
        assert_eq!(found(&cursors, 1), Some(mark(5)));
        first.lost();
        assert_eq!(found(&cursors, 2), None);
        first.sent();
        receipt(Some(mark(5)), mark(9)).sent();
        first.lost();
        assert_eq!(found(&cursors, 3), Some(mark(9)), "it is elsewhere by now");
    }

    #[test]
    fn answers_that_are_not_read_to_their_end_get_shorter_and_then_longer_again() {
        let mut cursor = Cursor::of(key("a"), 0);
        cursor.shrink(6000);
        assert_eq!(cursor.records_max, 3000);
        cursor.shrink(3000);
        cursor.grow(1499);
        assert_eq!(cursor.records_max, 1500, "that it takes less says nothing about more");
        cursor.grow(1500);
        assert_eq!(cursor.records_max, 1687);
        cursor.shrink(3);
        assert_eq!(cursor.records_max, CURSOR_RECORDS_MIN);
        for _ in 0..100 {
            cursor.grow(cursor.records_max);
        }
        assert_eq!(cursor.records_max, HISTORY_RECORDS_MAX);
    }

    #[test]
    fn cursors_outlive_the_server() {
        let dir = scratch();
        let path = dir.join("cursors.json");
        let cursors = Cursors::kept_in(Some(path.clone()));
        cursors.find(&key("a"), 7).expect("room");
        cursors.change(&key("a"), None, |cursor| cursor.mark = Some(mark(5)));
        assert_eq!(found(&Cursors::kept_in(Some(path.clone())), 8), Some(mark(5)));
        fs::write(&path, b"{").expect("written");
        assert_eq!(found(&Cursors::kept_in(Some(path.clone())), 8), None);
        assert!(dir.join("cursors.json.bad").exists() && !path.exists(), "set aside");
        fs::remove_dir_all(&dir).expect("removed");
    }

    #[test]
    fn unused_cursors_make_room_and_others_do_not() {
        let cursors = Cursors::kept_in(None);
        for number in 0..CURSORS_MAX {
            cursors.find(&key(&format!("c{number}")), number as u64).expect("room");
        }
        assert_eq!(cursors.find(&key("one-more"), 100), Err(TooManyCursors));
        assert!(cursors.find(&key("c0"), 100).is_ok(), "those that are there go on");
        let later = CURSOR_LIFE.as_secs() + 5;
        assert!(cursors.find(&key("one-more"), later).is_ok());
        assert_eq!(cursors.list.borrow().len(), CURSORS_MAX - 5 + 1);
    }

    #[test]
    fn files_that_are_not_sound_are_refused() {
        let sound = encode(&[Cursor { mark: Some(mark(5)), ..Cursor::of(key("a"), 7) }]);
        let sound = String::from_utf8(sound).expect("text");
        assert!(decode(sound.as_bytes()).is_ok());
        for (from, to, told) in [
            ("\"version\": 1", "\"version\": 2", "\"version\" is not 1"),
            ("\"name\": \"a\"", "\"name\": \"/\"", "cursor 0 is not sound"),
            ("ffffffffffffffff", "fffffffffffffff", "cursor 0 is not sound"),
            ("ffffffffffffffff", "+ffffffffffffff+", "cursor 0 is not sound"),
            ("\"seq\": 5", "\"seq\": -5", "cursor 0 is not sound"),
            ("\"records_max\": 65536", "\"records_max\": 65537", "cursor 0 is not sound"),
            ("\"records_max\": 65536", "\"records_max\": 15", "cursor 0 is not sound"),
            ("\"cursors\": [", "\"cursor\": [", "\"cursors\" is no list"),
        ] {
            assert_eq!(decode(sound.replace(from, to).as_bytes()), Err(told.to_owned()), "{to}");
        }
        assert!(decode(b"").is_err() && decode(b"[]").is_err());
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(
            names in prop::collection::vec("[a-zA-Z0-9._-]{1,64}", 0..8),
            ring: String, seq: u64, used_s: u64, is_marked: bool,
            records_max in CURSOR_RECORDS_MIN..=HISTORY_RECORDS_MAX,
        ) {
            let cursor = |name: &String| Cursor {
                key: CursorKey { principal: ring.clone(), ring: ring.clone(), name: name.clone() },
                mark: is_marked.then_some(Mark { ring: [seq, used_s], seq, realtime_ns: used_s }),
                records_max,
                used_s,
            };
            let list: Vec<_> = names.iter().map(cursor).collect();
            prop_assert_eq!(decode(&encode(&list)), Ok(list));
        }

        #[test]
        fn any_text_is_decoded_or_refused(text: Vec<u8>) {
            let _ = decode(&text);
        }
    }
}
