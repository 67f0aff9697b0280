//! Numbers as JSON text.
//!
//! The text of an `f64` is the shortest decimal that reads back as the same value, and of several
//! that are equally short the nearest; laid out as `serde_json` lays it out: `123.0`, `0.1`,
//! `-0.0`, `1e16`. A consumer that compared answers of two programs would see no difference.
//!
//! Nothing here allocates, and the text is put where it is to stay: there is no buffer in between
//! whose length would have to be known before it can be copied.
//!
//! # Why the text is right
//!
//! Four ways lead to it, by size of the value.
//!
//! **Whole numbers below 2^52** are their digits and `.0`. No shorter text exists: a decimal with
//! fewer significant digits and the same magnitude is a whole number too, and two whole numbers
//! below 2^53 are two different values.
//!
//! **Up to three decimals below 99,999**, as most measured quantities have them: if a whole number
//! `n < 10^8` divided by 1000 is the value, which a division says exactly since it rounds to the
//! nearest, then `n / 1000` without zeros at its end is the text. Decimals of up to 15 significant
//! digits are that many different values, so nothing shorter reads back as this one.
//!
//! **Other fractions from 2^-16 to 2^23.** Such a value is `c * 2^q` with `2^52 <= c < 2^53` and
//! `-68 <= q <= -30`; its neighbours are 2^q away. Let `j` be the smallest number with
//! `U = 2^q * 10^j >= 1`, so `1 < U < 10`, and look at `V = c * U`, which is the value with the
//! decimal point moved `j` places. All decimals that read back as the value lie, so scaled, within
//! `U / 2` of `V` (the two ends too when `c` is even, because ties are read to even).
//!
//! - That interval is shorter than 10, so it holds at most one multiple of ten. If it holds one,
//!   that is the answer, less its zeros at the end: every decimal with fewer places is such a
//!   multiple.
//! - If not, no decimal with fewer places will do, and the whole number nearest to `V` is the
//!   answer: it is at most 1/2 away, and 1/2 is less than `U / 2`. If two are equally near, the
//!   even one is taken.
//! - Below a power of two the neighbour is only half as far away. The powers of two among these
//!   values are 2^-1 to 2^-16, whose `V` is itself a multiple of ten and therefore the answer.
//!
//! No step rounds: `U * 2^53 = 5^j * 2^(53 + q + j)` is a whole number below 2^57, since
//! `53 + q + j` is never negative here, and its product with `c` is taken in 128 bits.
//!
//! **Everything else**, very small, very large, or a fraction of a large number, is left to `zmij`.

/// Bytes that [`write_f64`] may touch; more than the text can have, because it is written in steps
/// of constant size that may reach beyond the end of it.
pub const F64_ROOM: usize = 48;

/// Most bytes that the text of an `f64` has: `-1.2345678901234567e-308`.
pub const F64_BYTES_MAX: usize = 24;

/// Appends the text of `value`, or nothing when it is not finite: JSON has no word for that.
///
/// # Examples
///
/// ```
/// let mut out = Vec::new();
/// tachograph::encode::push_f64(&mut out, 33538646016.0);
/// out.push(b' ');
/// tachograph::encode::push_f64(&mut out, 0.1 + 0.2);
/// assert_eq!(out, b"33538646016.0 0.30000000000000004");
/// ```
pub fn push_f64(out: &mut Vec<u8>, value: f64) {
    let start = out.len();
    out.extend_from_slice(&[0; F64_ROOM]);
    let room = out[start..].first_chunk_mut().expect("just made");
    let len = write_f64(room, value);
    out.truncate(start + len);
}

/// Appends the digits of `value`.
pub fn push_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends the digits of `value`, with a minus sign if it has one.
pub fn push_i64(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Writes the text of `value` at the start of `room` and says how long it is: at most
/// [`F64_BYTES_MAX`], or 0 when the value is not finite.
///
/// What follows the text in `room` is left in an unknown state.
#[inline]
pub fn write_f64(room: &mut [u8; F64_ROOM], value: f64) -> usize {
    const TWO_52: f64 = (1_u64 << 52) as f64;
    const LARGE: u64 = TWO_52.to_bits();
    const SHORT_END: u64 = 99_999.0_f64.to_bits();
    const FRACTIONS: core::ops::Range<u64> =
        (1.0 / 65536.0_f64).to_bits()..((1_u64 << 23) as f64).to_bits();

    let bits = value.to_bits();
    // Bits of values without sign have the order of the values; not-a-number is above all.
    let magnitude = bits & (u64::MAX >> 1);
    if magnitude < LARGE {
        // The sign's place is written in any case: a store costs less than a branch.
        let negative = (bits >> 63) as usize;
        room[0] = b'-';
        let text = room[negative..].first_chunk_mut().expect("the sign is one byte");
        // From 2^52 on neighbours are 1 apart, so that the sum has lost the fraction and its
        // lower bits are the whole number.
        let shifted = f64::from_bits(magnitude) + TWO_52;
        if shifted - TWO_52 == f64::from_bits(magnitude) {
            return negative + write_whole(text, shifted.to_bits() - LARGE);
        }
        if magnitude < SHORT_END {
            let thousandths = f64::from_bits(magnitude) * 1000.0 + TWO_52;
            if (thousandths - TWO_52) / 1000.0 == f64::from_bits(magnitude) {
                return negative + write_thousandths(text, thousandths.to_bits() - LARGE);
            }
        }
        if FRACTIONS.contains(&magnitude) {
            return negative + write_fraction(text, magnitude);
        }
    }
    write_any(room, value)
}

/// Writes the digits of `value` at the start of `room` and says how many there are.
///
/// What follows the text in `room` is left in an unknown state.
#[inline]
pub fn write_u64(room: &mut [u8; F64_ROOM], value: u64) -> usize {
    if value < WHOLE_END {
        let text = room.first_chunk_mut().expect("the room of a number without sign is smaller");
        return write_whole(text, value) - ".0".len();
    }
    let mut buffer = itoa::Buffer::new();
    let text = buffer.format(value).as_bytes();
    room[..text.len()].copy_from_slice(text);
    text.len()
}

/// Writes `value` with the decimal point moved `PLACES` to the left, exactly and without zeros at its
/// end, at the start of `room`, and says how long the text is.
///
/// What follows the text in `room` is left in an unknown state.
///
/// # Examples
///
/// ```
/// use tachograph::encode::{F64_ROOM, write_decimal};
///
/// let mut room = [0; F64_ROOM];
/// let len = write_decimal::<2>(&mut room, 1_632_350);
/// assert_eq!(&room[..len], b"16323.5");
/// ```
#[inline]
pub fn write_decimal<const PLACES: u32>(room: &mut [u8; F64_ROOM], value: u64) -> usize {
    const { assert!(PLACES <= 16) };
    let unit = const { 10_u64.pow(PLACES) };
    let (whole, part) = (value / unit, value % unit);
    let len = write_u64(room, whole);
    if part == 0 {
        return len;
    }
    room[len] = b'.';
    let fraction = room[len + 1..].first_chunk_mut::<16>().expect("the whole part is shorter");
    let (high, low) = digits16(part * const { 10_u64.pow(16 - PLACES) });
    fraction[..8].copy_from_slice(&(high | ASCII).to_le_bytes());
    if low == 0 {
        return len + 1 + (8 - high.leading_zeros() as usize / 8);
    }
    fraction[8..].copy_from_slice(&(low | ASCII).to_le_bytes());
    len + 1 + (16 - low.leading_zeros() as usize / 8)
}

/// The first digits of numbers that follow one another in a column, of which the last eight differ.
#[derive(Clone, Copy, Default)]
pub(super) struct FirstDigits {
    /// What stands before the last eight digits.
    high: u64,
    text: u64,
    len: usize,
}

/// As [`write_u64`], with the first digits from `known` if they are the same.
#[inline]
pub(super) fn write_next_u64(
    room: &mut [u8; F64_ROOM],
    value: u64,
    known: &mut FirstDigits,
) -> usize {
    if value >= WHOLE_END {
        return write_u64(room, value);
    }
    let text = room.first_chunk_mut().expect("the room of a number without sign is smaller");
    if value < LOW_END {
        return write_low(text, value);
    }
    let high = value / LOW_END;
    if high != known.high {
        let digits = digits8(high);
        let zeros = digits.trailing_zeros() as usize / 8;
        *known = FirstDigits { high, text: (digits | ASCII) >> (8 * zeros), len: 8 - zeros };
    }
    put8(text, 0, known.text);
    put8(text, known.len, digits8(value - high * LOW_END) | ASCII);
    known.len + 8
}

/// Where the numbers end that [`write_whole`] takes.
const WHOLE_END: u64 = 10_000_000_000_000_000;

/// Room behind the sign.
const UNSIGNED_ROOM: usize = F64_ROOM - 1;

/// Any value, finite or not.
#[cold]
fn write_any(room: &mut [u8; F64_ROOM], value: f64) -> usize {
    if !value.is_finite() {
        return 0;
    }
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(value).as_bytes();
    room[..text.len()].copy_from_slice(text);
    text.len()
}

/// Where the numbers end that [`write_low`] takes.
const LOW_END: u64 = 100_000_000;

/// Digits of `low`, which is below 10^8.
#[inline]
fn write_low(room: &mut [u8; UNSIGNED_ROOM], low: u64) -> usize {
    let digits = digits8(low);
    // The last digit is there even if it is zero.
    let zeros = (digits | 1 << 56).trailing_zeros() as usize / 8;
    put8(room, 0, (digits | ASCII) >> (8 * zeros));
    8 - zeros
}

/// Digits of `whole`, which is below 10^16, and `.0`.
#[inline]
fn write_whole(room: &mut [u8; UNSIGNED_ROOM], whole: u64) -> usize {
    // Zeros in front are shifted out of one word; a shift of two is more than twice as slow.
    let len = if whole < LOW_END {
        write_low(room, whole)
    } else {
        let (high, low) = digits16(whole);
        let zeros = high.trailing_zeros() as usize / 8;
        put8(room, 0, (high | ASCII) >> (8 * zeros));
        put8(room, 8 - zeros, low | ASCII);
        16 - zeros
    };
    room[len..][..2].copy_from_slice(b".0");
    len + 2
}

/// `thousandths / 1000`, which is below 10^5, with one digit behind the point or more.
#[inline]
fn write_thousandths(room: &mut [u8; UNSIGNED_ROOM], thousandths: u64) -> usize {
    let digits = digits8(thousandths);
    // The fifth digit and the sixth are there even if they are zero.
    let zeros_before = (digits | 1 << 32).trailing_zeros() as usize / 8;
    let zeros_behind = (digits | 1 << 40).leading_zeros() as usize / 8;
    let text = digits | ASCII;
    let point = 5 - zeros_before;
    put8(room, 0, text >> (8 * zeros_before));
    put8(room, point, (text >> 32) & !0xff | u64::from(b'.'));
    point + 4 - zeros_behind
}

/// The shortest text of a value that has a fraction and lies between 2^-16 and 2^23.
#[inline]
fn write_fraction(room: &mut [u8; UNSIGNED_ROOM], bits: u64) -> usize {
    let Scale { unit, places } = SCALES[((bits >> 52) - EXPONENT_MIN) as usize];
    let c = bits & ((1 << 52) - 1) | 1 << 52;

    // V: whole part in the high half, fraction in the low one.
    let scaled = u128::from(c << 11) * u128::from(unit);
    let (whole, fraction) = ((scaled >> 64) as u64, scaled as u64);
    let tens = whole / 10;
    let digit = whole % 10;
    // Distances in units of 2^-60, in which ten still fits; the bits that fall out are zeros.
    let above = digit << 60 | fraction >> 4;
    let below = (10 << 60) - above;
    let half_gap = unit << 6;
    let odd = c & 1;
    let down = above + odd <= half_gap;
    let up = below + odd <= half_gap;
    let nearest = digit + u64::from(fraction + (digit & 1) > 1 << 63);

    // 16 digits and the last one. For a value below 1, `places` of them, 16 or more, stand behind
    // the point.
    let tens = tens + u64::from(up);
    let last = if down | up { 0 } else { nearest };
    let (high, low) = digits16(tens);
    // How many digits there are without the zeros at the end.
    let kept = if last != 0 {
        17
    } else if low != 0 {
        16 - low.leading_zeros() as usize / 8
    } else {
        8 - high.leading_zeros() as usize / 8
    };
    let (high, low, last) = (high | ASCII, low | ASCII, b'0' + last as u8);

    if bits < 1.0_f64.to_bits() {
        // If 16 digits stand behind the point, the first of the 17 is a zero, and the point comes
        // to lie on it.
        let at = places - 15;
        room[..8].copy_from_slice(b"0.000000");
        put8(room, at, high);
        put8(room, at + 8, low);
        room[at + 16] = last;
        room[1] = b'.';
        at + kept
    } else {
        // One digit too many in front, or none.
        let zeros = usize::from(tens < 1_000_000_000_000_000);
        // Seven digits at most stand before the point, so that it lies in the first word.
        let point = 17 - places - zeros;
        let first = high >> (8 * zeros);
        let before = (1 << (8 * point)) - 1;
        put8(room, 1, first);
        put8(room, 9 - zeros, low);
        room[17 - zeros] = last;
        put8(room, 0, first & before | (first & !before) << 8);
        room[point] = b'.';
        1 + kept - zeros
    }
}

/// Puts eight characters at `at`, the first one from the lowest byte.
#[inline]
fn put8(room: &mut [u8; UNSIGNED_ROOM], at: usize, text: u64) {
    room[at..][..8].copy_from_slice(&text.to_le_bytes());
}

/// What [`write_fraction`] multiplies with, for one binary exponent.
#[derive(Clone, Copy)]
struct Scale {
    /// U * 2^53.
    unit: u64,
    /// j.
    places: usize,
}

/// Biased exponent of 2^-16.
const EXPONENT_MIN: u64 = 1023 - 16;

/// From 2^-16 up to what is below 2^23.
static SCALES: [Scale; 39] = {
    let mut scales = [Scale { unit: 0, places: 0 }; 39];
    let mut i = 0;
    while i < scales.len() {
        let minus_q = 68 - i;
        let mut places = 0;
        let mut ten_power = 1_u128;
        while ten_power < 1 << minus_q {
            ten_power *= 10;
            places += 1;
        }
        let five_power = 5_u64.pow(places as u32);
        scales[i] = Scale { unit: five_power << (53 + places - minus_q), places };
        i += 1;
    }
    scales
};

/// Turns eight digits into text.
const ASCII: u64 = 0x3030_3030_3030_3030;

/// The sixteen decimal digits of `n`, which is below 10^16, as two times [`digits8`].
#[inline]
fn digits16(n: u64) -> (u64, u64) {
    (digits8(n / 100_000_000), digits8(n % 100_000_000))
}

/// The eight decimal digits of `n`, which is below 10^8, one per byte, the first one lowest.
///
/// `n / 10^6` in fixed point has the first two digits before the point, and each multiplication by
/// 100 brings two more there. With 32 places behind the point, rounded up, it is too large by less
/// than 2 * 2^-32; grown 10^6 times with the rest, that is still too little to reach a digit.
#[inline]
fn digits8(n: u64) -> u64 {
    const MILLIONTH: u64 = (1 << 57) / 1_000_000 + 1;
    let pair = |fixed: u64| u64::from(PAIRS[(fixed >> 32) as usize % PAIRS.len()]);
    let next = |fixed: u64| (fixed & 0xffff_ffff) * 100;
    let first = ((n * MILLIONTH) >> 25) + 1;
    let second = next(first);
    let third = next(second);
    let fourth = next(third);
    pair(first) | pair(second) << 16 | pair(third) << 32 | pair(fourth) << 48
}

/// Two digits, the first one lower; longer than 100 so that no index has to be checked.
static PAIRS: [u16; 128] = {
    let mut pairs = [0; 128];
    let mut i = 0;
    while i < 100 {
        pairs[i] = ((i / 10) | ((i % 10) << 8)) as u16;
        i += 1;
    }
    pairs
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(value: f64) -> String {
        let mut out = Vec::new();
        push_f64(&mut out, value);
        String::from_utf8(out).expect("ASCII")
    }

    #[track_caller]
    fn check(value: f64) {
        for value in [value, -value] {
            if value.is_finite() {
                assert_eq!(text(value), serde_json::to_string(&value).expect("a number"));
            } else {
                assert_eq!(text(value), "");
            }
        }
    }

    #[track_caller]
    fn check_whole(value: u64) {
        let mut room = [0; F64_ROOM];
        let len = write_u64(&mut room, value);
        assert_eq!(&room[..len], value.to_string().as_bytes());
        check_decimal::<2>(value);
        check_decimal::<3>(value);
        check_decimal::<6>(value);
        check_decimal::<9>(value);
    }

    #[track_caller]
    fn check_decimal<const PLACES: u32>(value: u64) {
        let mut room = [0; F64_ROOM];
        let len = write_decimal::<PLACES>(&mut room, value);
        let text = String::from_utf8(room[..len].to_vec()).expect("ASCII");
        let (whole, part) = (value / 10_u64.pow(PLACES), value % 10_u64.pow(PLACES));
        let slow = format!("{whole}.{part:0width$}", width = PLACES as usize);
        assert_eq!(text, slow.trim_end_matches('0').trim_end_matches('.'));
    }

    #[test]
    fn integers_and_decimals_of_every_length_are_exact() {
        for digits in 0..20 {
            let power = 10_u64.pow(digits);
            for value in [power - 1, power, power + 1, power / 7, power.saturating_mul(3) / 2] {
                check_whole(value);
            }
        }
        check_whole(u64::MAX);
    }

    /// The value and the few on either side of it.
    #[track_caller]
    fn check_around(value: f64) {
        let bits = value.to_bits();
        for near in bits.saturating_sub(4)..=bits.saturating_add(4) {
            check(f64::from_bits(near));
        }
    }

    /// Not random numbers: the same ones every time.
    fn scattered(count: u64) -> impl Iterator<Item = u64> {
        let count = if cfg!(miri) { count / 1000 } else { count };
        (0..count).scan(0x9e37_79b9_7f4a_7c15_u64, |state, _| {
            *state ^= *state << 13;
            *state ^= *state >> 7;
            *state ^= *state << 17;
            Some(*state)
        })
    }

    #[test]
    fn eight_digits_are_split_exactly() {
        for n in (0..100_000_000).step_by(if cfg!(miri) { 9_999_991 } else { 17 }) {
            let mut digits = digits8(n).to_le_bytes();
            digits.iter_mut().for_each(|digit| *digit += b'0');
            let mut rest = n;
            for &digit in digits.iter().rev() {
                assert_eq!(u64::from(digit - b'0'), rest % 10, "{n}");
                rest /= 10;
            }
        }
    }

    #[test]
    fn extremes_are_as_serde_json_prints_them() {
        for value in [
            0.0,
            f64::MIN_POSITIVE,
            f64::from_bits(1),
            f64::EPSILON,
            f64::MAX,
            f64::INFINITY,
            f64::NAN,
            core::f64::consts::PI,
            1.0 / 3.0,
            2.0 / 3.0,
        ] {
            check_around(value);
        }
        assert_eq!(text(-0.0), "-0.0");
    }

    #[test]
    fn powers_and_their_neighbours_are_as_serde_json_prints_them() {
        for exponent in 0..2047 {
            check_around(f64::from_bits(exponent << 52));
        }
        for exponent in -324..=308 {
            for digits in ["1", "5", "9", "99", "125", "999999999999999", "9007199254740993"] {
                check_around(format!("{digits}e{exponent}").parse().expect("a number"));
            }
        }
    }

    #[test]
    fn ties_are_as_serde_json_prints_them() {
        // Halves, quarters and eighths of numbers so large that the last digit is halfway.
        for bits in scattered(20_000) {
            for shift in 11..30 {
                let whole = (bits >> shift) as f64;
                check(whole);
                check(whole / 2.0);
                check(whole / 4.0);
                check(whole / 8.0);
            }
        }
    }

    #[test]
    fn short_decimals_are_as_serde_json_prints_them() {
        for n in (0..300_000_u32).step_by(if cfg!(miri) { 99_991 } else { 1 }) {
            check(f64::from(n) / 100.0);
            check(f64::from(n) / 1e3);
            check(f64::from(n) / 1e4);
            check(f64::from(n) / 1e6);
        }
        for n in (99_990_000..100_010_000).step_by(if cfg!(miri) { 999 } else { 1 }) {
            check(f64::from(n) / 1e3);
        }
        for n in (1..100_000_000).step_by(if cfg!(miri) { 9_999_991 } else { 9_973 }) {
            check_around(f64::from(n) / 1e3);
        }
        for bits in scattered(200_000) {
            check((bits >> 14) as f64 / [1e2, 1e3, 1e6, 1e9, 1e12][(bits % 5) as usize]);
        }
    }

    #[test]
    fn every_exponent_of_the_exact_way_is_as_serde_json_prints_it() {
        for bits in scattered(300_000) {
            let exponent = 1003 + bits % 48;
            check(f64::from_bits(exponent << 52 | bits >> 12));
            // Few bits set: many exact decimals and ties.
            check(f64::from_bits(exponent << 52 | (bits >> 12) & (u64::MAX << (bits >> 58))));
        }
    }

    proptest! {
        #[test]
        fn any_integer_is_exact(value: u64, shift in 0_u32..64) {
            check_whole(value >> shift);
        }

        #[test]
        fn any_bits_are_as_serde_json_prints_them(bits: u64) {
            check(f64::from_bits(bits));
        }

        #[test]
        fn any_value_is_as_serde_json_prints_it(value in any::<f64>()) {
            check(value);
        }

        #[test]
        fn any_share_is_as_serde_json_prints_it(value in 0.0..1.0) {
            check(value);
        }

        #[test]
        fn any_integer_is_as_serde_json_prints_it(unsigned: u64, signed: i64, shift in 0_u32..64) {
            let unsigned = unsigned >> shift;
            check(unsigned as f64);
            let mut out = Vec::new();
            push_u64(&mut out, unsigned);
            out.push(b' ');
            push_i64(&mut out, signed >> shift);
            prop_assert_eq!(
                String::from_utf8(out).expect("ASCII"),
                format!("{} {}", unsigned, signed >> shift)
            );
        }
    }
}
