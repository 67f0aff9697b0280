//! The constant text of a list of points, and how a generation of them is written.
//!
//! A *generation* is a list of points with one timestamp. The text of one point is
//!
//! ```json
//! {"id":"host","metric":"cpu_current","timestamp":1729000000,"type":"gauge","value":0.25}
//! ```
//!
//! with the keys in this order and no spaces. From one generation to the next only the timestamp
//! and the value change. So a point is three pieces: its *head*, up to the timestamp, laid out
//! once; its *tail*, from the timestamp to the value, of which there is one per kind and
//! generation; and the number.
//!
//! Pieces are copied in blocks of constant size, which the compiler turns into a few vector moves,
//! and what was copied beyond the end of a piece is overwritten by the next one. That is why the
//! room a generation asks for ([`Points::room_bytes`]) is larger than its text.

use super::number::{self, F64_BYTES_MAX, F64_ROOM};
use super::string::push_escaped;
use crate::record::Kind;

/// Heads are copied in blocks of this size; nearly all of them fit into one.
const BLOCK: usize = 64;

/// Tails are copied as a block of this size: the longest timestamp, 26 bytes of keys and a kind.
const TAIL_ROOM: usize = 64;

/// What a point may touch from its last block on.
const POINT_ROOM: usize = BLOCK + TAIL_ROOM + F64_ROOM;

/// The constant text of a list of points.
///
/// It is made once for the objects that somebody may see, and then used for every generation of
/// the answer. Points keep the order in which they were pushed.
///
/// # Examples
///
/// ```
/// use tachograph::encode::Points;
/// use tachograph::record::Kind;
///
/// let mut points = Points::new();
/// points.push("host", "cpu_current", Kind::Gauge);
/// points.push("host", "cpu_iowait", Kind::Gauge);
/// points.push("host", "net_in", Kind::Derive);
///
/// let mut out = b"[".to_vec();
/// let mut first = true;
/// points.encode(1_729_000_000, &[0.25, f64::NAN, 4096.0], &mut first, &mut out);
/// out.push(b']');
/// assert_eq!(
///     String::from_utf8(out).unwrap(),
///     concat!(
///         r#"[{"id":"host","metric":"cpu_current","timestamp":1729000000,"type":"gauge","value":0.25},"#,
///         r#"{"id":"host","metric":"net_in","timestamp":1729000000,"type":"derive","value":4096.0}]"#,
///     )
/// );
/// ```
#[derive(Clone, Debug)]
pub struct Points {
    /// All heads, each with the comma in front of it, and a block of padding at the end.
    text: Vec<u8>,
    points: Vec<Point>,
}

/// One point's constant text.
#[derive(Clone, Copy, Debug)]
struct Point {
    /// Where in `text` the head is.
    at: u32,
    /// How long it is.
    len: u32,
    /// Which tail follows.
    tail: u8,
}

/// The text from the timestamp to the value.
#[derive(Clone, Copy)]
struct Tail {
    bytes: [u8; TAIL_ROOM],
    len: usize,
}

impl Points {
    /// An empty list.
    #[must_use]
    pub fn new() -> Self {
        Self { text: vec![0; BLOCK], points: Vec::new() }
    }

    /// Adds the point of `metric` of the object `id`. Both may be any text.
    ///
    /// # Panics
    ///
    /// When the list would hold 4 GiB of text.
    pub fn push(&mut self, id: &str, metric: &str, kind: Kind) {
        let at = self.text.len() - BLOCK;
        self.text.truncate(at);
        self.text.extend_from_slice(b",{\"id\":");
        push_escaped(&mut self.text, id);
        self.text.extend_from_slice(b",\"metric\":");
        push_escaped(&mut self.text, metric);
        self.text.extend_from_slice(b",\"timestamp\":");
        let len = self.text.len() - at;
        self.text.resize(at + len + BLOCK, 0);
        assert!(u32::try_from(self.text.len()).is_ok(), "a list of points is below 4 GiB");
        let tail = Kind::ALL.iter().position(|&other| other == kind).expect("one of all");
        self.points.push(Point { at: at as u32, len: len as u32, tail: tail as u8 });
    }

    /// How many points there are, and so how many values a generation has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// Whether there is no point.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// How much room [`Points::encode_into`] needs, whatever the values are.
    #[must_use]
    pub fn room_bytes(&self) -> usize {
        let constant_max = self.text.len() + self.points.len() * TAIL_ROOM;
        constant_max + self.points.len() * (F64_BYTES_MAX + 1) + POINT_ROOM
    }

    /// Appends one generation to `out`: the points whose value is finite, separated by commas.
    ///
    /// An absent value is a NaN. `first` says that nothing was written before, so that no comma is
    /// needed in front; it becomes false with the first point that is written.
    ///
    /// # Panics
    ///
    /// When there are not as many values as points.
    pub fn encode(&self, timestamp: i64, values: &[f64], first: &mut bool, out: &mut Vec<u8>) {
        let start = out.len();
        // A tenth of the whole time goes into these zeros. They are the price of a plain `Vec`.
        out.resize(start + self.room_bytes(), 0);
        let len = self.encode_into(timestamp, values, first, &mut out[start..]);
        out.truncate(start + len);
    }

    /// Writes one generation at the start of `room` and says how long it is, as [`Points::encode`]
    /// does; for callers that keep their buffer's bytes instead of making them anew.
    ///
    /// What follows the text in `room` is left in an unknown state.
    ///
    /// # Panics
    ///
    /// When there are not as many values as points, or `room` is smaller than
    /// [`Points::room_bytes`].
    pub fn encode_into(
        &self,
        timestamp: i64,
        values: &[f64],
        first: &mut bool,
        room: &mut [u8],
    ) -> usize {
        assert_eq!(values.len(), self.points.len(), "one value for each point");
        assert!(room.len() >= self.room_bytes(), "room for the longest generation");
        let tails = tails(timestamp);
        // The comma in front of the first head is left out.
        let mut skip = usize::from(*first);
        let mut end = 0;
        for (point, &value) in self.points.iter().zip(values) {
            if !value.is_finite() {
                continue;
            }
            let mut from = point.at as usize + skip;
            let mut left = point.len as usize - skip;
            skip = 0;
            while left > BLOCK {
                room[end..][..BLOCK].copy_from_slice(&self.text[from..][..BLOCK]);
                (from, end, left) = (from + BLOCK, end + BLOCK, left - BLOCK);
            }
            let place: &mut [u8; POINT_ROOM] = room[end..].first_chunk_mut().expect(ROOM);
            place[..BLOCK].copy_from_slice(&self.text[from..][..BLOCK]);
            let tail = &tails[usize::from(point.tail)];
            place[left..][..TAIL_ROOM].copy_from_slice(&tail.bytes);
            let number = place[left + tail.len..].first_chunk_mut().expect(ROOM);
            let len = number::write_f64(number, value);
            number[len] = b'}';
            end += left + tail.len + len + 1;
        }
        *first &= skip == 1;
        end
    }
}

/// Why a slice cannot be too short.
const ROOM: &str = "the room was checked";

impl Default for Points {
    fn default() -> Self {
        Self::new()
    }
}

/// The tails of a generation, in the order of [`Kind::ALL`].
fn tails(timestamp: i64) -> [Tail; Kind::ALL.len()] {
    let mut buffer = itoa::Buffer::new();
    let timestamp = buffer.format(timestamp).as_bytes();
    let mut tails = [Tail { bytes: [0; TAIL_ROOM], len: 0 }; Kind::ALL.len()];
    for (tail, kind) in tails.iter_mut().zip(Kind::ALL) {
        for piece in [timestamp, b",\"type\":\"", kind.as_str().as_bytes(), b"\",\"value\":"] {
            tail.bytes[tail.len..][..piece.len()].copy_from_slice(piece);
            tail.len += piece.len();
        }
    }
    tails
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Serialize;

    use super::*;

    #[derive(Serialize)]
    struct Oracle<'a> {
        id: &'a str,
        metric: &'a str,
        timestamp: i64,
        #[serde(rename = "type")]
        kind: &'a str,
        value: f64,
    }

    type Row = (String, String, Kind, f64);

    fn oracle(timestamps: &[i64], rows: &[Row]) -> String {
        let points: Vec<_> = timestamps
            .iter()
            .flat_map(|&timestamp| rows.iter().map(move |row| (timestamp, row)))
            .filter(|(_, (.., value))| value.is_finite())
            .map(|(timestamp, (id, metric, kind, value))| Oracle {
                id,
                metric,
                timestamp,
                kind: kind.as_str(),
                value: *value,
            })
            .collect();
        serde_json::to_string(&points).expect("points")
    }

    #[track_caller]
    fn check(timestamps: &[i64], rows: &[Row]) {
        let mut points = Points::new();
        for (id, metric, kind, _) in rows {
            points.push(id, metric, *kind);
        }
        assert_eq!((points.len(), points.is_empty()), (rows.len(), rows.is_empty()));
        let values: Vec<_> = rows.iter().map(|(.., value)| *value).collect();
        let mut out = b"[".to_vec();
        let mut first = true;
        for &timestamp in timestamps {
            points.encode(timestamp, &values, &mut first, &mut out);
        }
        out.push(b']');
        assert_eq!(String::from_utf8(out).expect("UTF-8"), oracle(timestamps, rows));
    }

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![
            Just(f64::NAN),
            Just(f64::INFINITY),
            0.0..1.0,
            (0_u64..1 << 53).prop_map(|whole| whole as f64),
            any::<u64>().prop_map(f64::from_bits),
        ]
    }

    fn row() -> impl Strategy<Value = Row> {
        let kind = prop::sample::select(Kind::ALL);
        (any::<String>(), "[a-z_0-9]{0,300}", kind, value())
    }

    proptest! {
        #[test]
        fn generations_are_as_serde_json_prints_them(
            timestamps in prop::collection::vec(any::<i64>(), 0..4),
            rows in prop::collection::vec(row(), 0..12),
        ) {
            check(&timestamps, &rows);
        }
    }

    #[test]
    fn heads_of_every_length_are_whole() {
        for len in 0..400 {
            let row = |id: &str| (id.repeat(len), "m".to_owned(), Kind::Gauge, 0.1);
            check(&[i64::MIN, -1, 0, 9, i64::MAX], &[row("x"), row("\u{1}"), row("\u{20ac}")]);
        }
    }

    #[test]
    fn longest_generation_fits_its_room() {
        let longest = -1.234_567_890_123_456_7e-308;
        assert_eq!(longest.to_string().parse(), Ok(longest));
        let rows: Vec<Row> = (0..50)
            .map(|_| ("\u{1}".repeat(1024), "m".to_owned(), Kind::Counter, longest))
            .collect();
        check(&[i64::MIN], &rows);
    }

    #[test]
    fn comma_waits_for_the_first_point_that_is_written() {
        let mut points = Points::new();
        points.push("host", "load1", Kind::Gauge);
        let (mut out, mut first) = (Vec::new(), true);
        points.encode(1, &[f64::NAN], &mut first, &mut out);
        assert!(first && out.is_empty());
        points.encode(2, &[0.5], &mut first, &mut out);
        assert!(!first && out.starts_with(b"{"));
        points.encode(3, &[f64::NEG_INFINITY], &mut first, &mut out);
        points.encode(4, &[0.5], &mut first, &mut out);
        let text = String::from_utf8(out).expect("UTF-8");
        assert_eq!(text.matches("},{").count(), 1);
        assert!(text.ends_with('}'));
    }

    #[test]
    fn bytes_before_a_generation_are_kept() {
        let mut points = Points::new();
        points.push("host", "load1", Kind::Gauge);
        let mut out = b"before".to_vec();
        points.encode(1, &[0.5], &mut true, &mut out);
        assert!(out.starts_with(b"before{\"id\":\"host\""));
    }

    #[test]
    #[should_panic(expected = "one value for each point")]
    fn values_are_as_many_as_points() {
        Points::new().encode(1, &[0.5], &mut true, &mut Vec::new());
    }

    #[test]
    #[should_panic(expected = "room for the longest generation")]
    fn small_room_is_refused_before_anything_is_written() {
        let mut points = Points::new();
        points.push("host", "load1", Kind::Gauge);
        let mut room = vec![0; points.room_bytes() - 1];
        points.encode_into(1, &[0.5], &mut true, &mut room);
    }
}
