//! Strings as JSON text.
//!
//! Only what JSON demands is escaped, as `serde_json` does it: quotation mark, backslash and the
//! 32 control characters; all other text stands for itself, in UTF-8.

/// Appends `text` in quotation marks.
///
/// # Examples
///
/// ```
/// let mut out = Vec::new();
/// tachograph::encode::push_escaped(&mut out, "C:\\ \"\u{1}\" \u{20ac}\n");
/// assert_eq!(out, r#""C:\\ \"\u0001\" €\n""#.as_bytes());
/// ```
pub fn push_escaped(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut plain_from = 0;
    for (i, &byte) in bytes.iter().enumerate() {
        let short = match byte {
            b'"' | b'\\' => byte,
            0x08 => b'b',
            b'\t' => b't',
            b'\n' => b'n',
            0x0c => b'f',
            b'\r' => b'r',
            0x00..0x20 => 0,
            _ => continue,
        };
        out.extend_from_slice(&bytes[plain_from..i]);
        plain_from = i + 1;
        if short == 0 {
            let low = b"0123456789abcdef"[usize::from(byte & 15)];
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', b'0' + (byte >> 4), low]);
        } else {
            out.extend_from_slice(&[b'\\', short]);
        }
    }
    out.extend_from_slice(&bytes[plain_from..]);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str) {
        let mut out = Vec::new();
        push_escaped(&mut out, text);
        let oracle = serde_json::to_string(text).expect("a string");
        assert_eq!(String::from_utf8(out).expect("UTF-8"), oracle);
    }

    #[test]
    fn every_ascii_character_is_escaped_as_serde_json_does() {
        for byte in 0..128_u8 {
            check(&format!("{}", char::from(byte)));
            check(&format!("a{}\u{20ac}{}", char::from(byte), char::from(byte)));
        }
        check("");
    }

    proptest! {
        #[test]
        fn any_text_is_escaped_as_serde_json_does(text: String, low in "[\0-\u{7f}\u{20ac}]*") {
            check(&text);
            check(&low);
        }
    }
}
