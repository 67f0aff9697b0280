//! What writes an answer's bytes in a [`Coding`], part by part.
//!
//! A coder is half a megabyte of tables and window, so there are few of them, they are used
//! again and again, and an answer that finds none free goes out as it is.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use flate2::{Compress, Compression, FlushCompress, Status};

use super::counters::{Counters, count};
use super::headers::Coding;
use super::limits::CODERS_MAX;

/// Fast: an answer is compressed on the thread that serves everybody.
const LEVEL: u32 = 1;

/// The window of gzip, 32 KiB: the largest.
const GZIP_WINDOW_BITS: u8 = 15;

/// The window of zstd, 128 KiB. The level's own would be four times as large for little gain.
#[cfg(feature = "zstd")]
const ZSTD_WINDOW_BITS: u32 = 17;

/// How much the output grows where it is too small.
const GROWTH_BYTES: usize = 16 * 1024;

/// The coders of a server: [`CODERS_MAX`] at most, lent or waiting.
#[derive(Debug)]
pub(crate) struct Coders {
    free: RefCell<Vec<Engine>>,
    made: Cell<usize>,
    counters: Rc<Counters>,
}

impl Coders {
    pub(crate) fn new(counters: Rc<Counters>) -> Rc<Coders> {
        let free = RefCell::new(Vec::with_capacity(CODERS_MAX));
        Rc::new(Coders { free, made: Cell::new(0), counters })
    }

    /// A coder at the beginning of its output. `None` for identity, which needs none, and where all
    /// are lent, which is counted.
    pub(crate) fn take(self: &Rc<Self>, coding: Coding) -> Option<Coder> {
        if coding == Coding::Identity {
            return None;
        }
        let engine = self.engine(coding);
        if engine.is_none() {
            count(&self.counters.coders_exhausted);
        }
        Some(Coder { engine: Some(engine?), coders: Rc::clone(self) })
    }

    fn engine(&self, coding: Coding) -> Option<Engine> {
        let mut free = self.free.borrow_mut();
        if let Some(index) = free.iter().position(|engine| engine.coding() == coding) {
            return Some(free.swap_remove(index));
        }
        if self.made.get() == CODERS_MAX {
            // One that waits for the other coding makes room.
            free.pop()?;
            self.made.set(self.made.get() - 1);
        }
        let engine = Engine::of(coding)?;
        self.made.set(self.made.get() + 1);
        Some(engine)
    }

    fn give_back(&self, mut engine: Engine) {
        if engine.begin_anew() {
            self.free.borrow_mut().push(engine);
        } else {
            self.made.set(self.made.get() - 1);
        }
    }
}

/// What becomes of the bytes that were written last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// The coder may keep them until there are more.
    More,
    /// All that was written so far can be read from what has come out.
    Read,
    /// The output is complete.
    End,
}

/// A coder on loan; back with the others when dropped, wherever its output has come to.
#[derive(Debug)]
pub(crate) struct Coder {
    /// Taken out only when dropped.
    engine: Option<Engine>,
    coders: Rc<Coders>,
}

impl Coder {
    /// Appends `plain` to `out` in the coding.
    ///
    /// # Errors
    ///
    /// [`Refused`] when the library does, for which there is no reason that it names; what is in `out`
    /// must not be sent.
    pub(crate) fn write(
        &mut self,
        plain: &[u8],
        until: Until,
        out: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        match &mut self.engine {
            Some(Engine::Gzip(compress)) => gzip(compress, plain, until, out),
            #[cfg(feature = "zstd")]
            Some(Engine::Zstd(encoder)) => zstd(&mut encoder.0, plain, until, out),
            None => Err(Refused),
        }
    }
}

impl Drop for Coder {
    fn drop(&mut self) {
        if let Some(engine) = self.engine.take() {
            self.coders.give_back(engine);
        }
    }
}

/// A library's state.
#[derive(Debug)]
enum Engine {
    Gzip(Compress),
    #[cfg(feature = "zstd")]
    Zstd(Box<ZstdEncoder>),
}

impl Engine {
    fn of(coding: Coding) -> Option<Engine> {
        match coding {
            Coding::Identity => None,
            Coding::Gzip => {
                let level = Compression::new(LEVEL);
                Some(Engine::Gzip(Compress::new_gzip(level, GZIP_WINDOW_BITS)))
            }
            #[cfg(feature = "zstd")]
            Coding::Zstd => ZstdEncoder::new().ok().map(|encoder| Engine::Zstd(Box::new(encoder))),
            #[cfg(not(feature = "zstd"))]
            Coding::Zstd => None,
        }
    }

    fn coding(&self) -> Coding {
        match self {
            Engine::Gzip(_) => Coding::Gzip,
            #[cfg(feature = "zstd")]
            Engine::Zstd(_) => Coding::Zstd,
        }
    }

    /// Forgets what was written; says whether that went well.
    fn begin_anew(&mut self) -> bool {
        match self {
            Engine::Gzip(compress) => {
                compress.reset();
                true
            }
            #[cfg(feature = "zstd")]
            Engine::Zstd(encoder) => zstd::stream::raw::Operation::reinit(&mut encoder.0).is_ok(),
        }
    }
}

fn gzip(
    compress: &mut Compress,
    mut plain: &[u8],
    until: Until,
    out: &mut Vec<u8>,
) -> Result<(), Refused> {
    let flush = match until {
        Until::More => FlushCompress::None,
        Until::Read => FlushCompress::Sync,
        Until::End => FlushCompress::Finish,
    };
    // Every turn but the last fills the room that it was given.
    loop {
        out.reserve(GROWTH_BYTES);
        let before = compress.total_in();
        let status = compress.compress_vec(plain, out, flush).map_err(|_| Refused)?;
        let taken = usize::try_from(compress.total_in() - before).map_err(|_| Refused)?;
        plain = plain.get(taken..).ok_or(Refused)?;
        match status {
            Status::StreamEnd => return Ok(()),
            // Room is left, so there is nothing more to say.
            _ if plain.is_empty() && out.len() < out.capacity() && until != Until::End => {
                return Ok(());
            }
            Status::BufError if out.len() < out.capacity() => return Err(Refused),
            Status::Ok | Status::BufError => {}
        }
    }
}

/// The encoder of zstd, which does not say of itself what it is.
#[cfg(feature = "zstd")]
struct ZstdEncoder(zstd::stream::raw::Encoder<'static>);

#[cfg(feature = "zstd")]
impl ZstdEncoder {
    fn new() -> std::io::Result<ZstdEncoder> {
        use zstd::stream::raw::{CParameter, Encoder};

        let mut encoder = Encoder::new(LEVEL.cast_signed())?;
        encoder.set_parameter(CParameter::WindowLog(ZSTD_WINDOW_BITS))?;
        // As gzip has one: whoever keeps the answer can tell later whether it is whole.
        encoder.set_parameter(CParameter::ChecksumFlag(true))?;
        Ok(ZstdEncoder(encoder))
    }
}

#[cfg(feature = "zstd")]
impl std::fmt::Debug for ZstdEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ZstdEncoder").finish_non_exhaustive()
    }
}

#[cfg(feature = "zstd")]
fn zstd(
    encoder: &mut zstd::stream::raw::Encoder<'static>,
    plain: &[u8],
    until: Until,
    out: &mut Vec<u8>,
) -> Result<(), Refused> {
    use zstd::stream::raw::{InBuffer, Operation, OutBuffer};

    let mut plain = InBuffer::around(plain);
    // Every turn but the last takes bytes of `plain` or fills the room that it was given.
    loop {
        out.reserve(GROWTH_BYTES);
        let begun = out.len();
        let mut room = OutBuffer::around_pos(out, begun);
        let taken = plain.pos();
        let is_taken = plain.pos() == plain.src.len();
        let left = match until {
            _ if !is_taken => encoder.run(&mut plain, &mut room).map(|_| 1),
            Until::More => return Ok(()),
            Until::Read => encoder.flush(&mut room),
            Until::End => encoder.finish(&mut room, false),
        };
        if left.map_err(|_| Refused)? == 0 {
            return Ok(());
        }
        if plain.pos() == taken && out.len() == begun {
            return Err(Refused);
        }
    }
}

/// A coder did not take what it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused;

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn plain_of(coding: Coding, coded: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        match coding {
            Coding::Identity => plain.extend_from_slice(coded),
            Coding::Gzip => {
                let mut decoder = flate2::read::GzDecoder::new(coded);
                decoder.read_to_end(&mut plain).expect("gzip");
            }
            #[cfg(feature = "zstd")]
            Coding::Zstd => plain = zstd::decode_all(coded).expect("zstd"),
            #[cfg(not(feature = "zstd"))]
            Coding::Zstd => panic!("there is none"),
        }
        plain
    }

    fn codings() -> impl Iterator<Item = Coding> {
        Coding::ALL.iter().copied().filter(|coding| *coding != Coding::Identity)
    }

    /// Bytes that compress a little, much, and not at all.
    fn samples() -> Vec<Vec<u8>> {
        let mut state = 1_u64;
        let noise = (0..300_000).map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        });
        let lines = (0..5000).flat_map(|i| format!("node_cpu_seconds_total {i}\n").into_bytes());
        vec![noise.collect(), lines.collect(), vec![b'0'; 3_000_000], vec![b'x'], Vec::new()]
    }

    #[test]
    fn what_is_written_in_parts_is_read_as_a_whole() {
        for coding in codings() {
            let coders = Coders::new(Rc::default());
            for sample in samples() {
                for part_bytes in [7_919, 65_536, 3_000_000] {
                    let mut coder = coders.take(coding).expect("one is free");
                    let mut out = Vec::new();
                    for part in sample.chunks(part_bytes) {
                        coder.write(part, Until::More, &mut out).expect("taken");
                    }
                    coder.write(b"", Until::End, &mut out).expect("taken");
                    assert!(plain_of(coding, &out) == sample, "{coding:?} of {part_bytes}");
                }
            }
            assert_eq!(coders.made.get(), 1, "one was used again and again");
        }
    }

    #[test]
    fn what_was_written_can_be_read_at_once_when_that_is_asked_for() {
        let coders = Coders::new(Rc::default());
        let mut coder = coders.take(Coding::Gzip).expect("one is free");
        let (mut out, mut plain) = (Vec::new(), vec![0; 5]);
        coder.write(b"first", Until::Read, &mut out).expect("taken");
        flate2::read::GzDecoder::new(&*out).read_exact(&mut plain).expect("it is there");
        assert_eq!(plain, b"first");
        let before = out.len();
        coder.write(b"", Until::Read, &mut out).expect("nothing new is no mistake");
        assert!(out.len() - before <= 5);
    }

    #[test]
    fn a_coder_that_was_given_up_begins_anew() {
        for coding in codings() {
            let coders = Coders::new(Rc::default());
            let mut given_up = coders.take(coding).expect("one is free");
            given_up.write(b"half an answer", Until::More, &mut Vec::new()).expect("taken");
            drop(given_up);
            let mut coder = coders.take(coding).expect("one is free");
            let mut out = Vec::new();
            coder.write(b"whole", Until::End, &mut out).expect("taken");
            assert_eq!(plain_of(coding, &out), b"whole");
        }
    }

    #[test]
    fn there_are_never_more_coders_than_is_said() {
        let counters = Rc::<Counters>::default();
        let coders = Coders::new(Rc::clone(&counters));
        let lent: Vec<_> = (0..CODERS_MAX).map(|_| coders.take(Coding::Gzip)).collect();
        assert!(lent.iter().all(Option::is_some));
        assert!(coders.take(Coding::Gzip).is_none());
        assert!(coders.take(Coding::Identity).is_none());
        assert_eq!(counters.coders_exhausted.get(), 1);
        drop(lent);
        for coding in codings() {
            let lent: Vec<_> = (0..=CODERS_MAX).map(|_| coders.take(coding)).collect();
            assert_eq!(lent.iter().flatten().count(), CODERS_MAX);
        }
        assert_eq!(coders.made.get(), CODERS_MAX);
    }
}
