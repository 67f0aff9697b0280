//! Lists of what a client would take, each item with its weight: `Accept`, `Accept-Encoding`.

use super::limits::WEIGHTED_ITEMS_MAX;

/// The weight of an item that states none.
pub const WHOLE: u16 = 1000;

/// The items of a list, in its order, each with its weight in thousandths.
///
/// An item comes with its parameters as they were sent, up to the weight; what stands after the weight
/// belongs to the weight and is left out, as RFC 7231 had it. Commas and semicolons within a quoted
/// string separate nothing. Empty items do not count, and an item whose weight is not what RFC 9110
/// allows (0 to 1, at most three decimals) is passed over: of what it asks for nothing is known. No
/// more than [`WEIGHTED_ITEMS_MAX`] items are looked at.
///
/// # Examples
///
/// ```
/// use tachograph::http::quality::weighted;
///
/// let accept = "text/plain;version=1.0.0;q=0.5, */*;q=0.1, text/html;q=x, text/csv";
/// let items: Vec<_> = weighted(accept).collect();
/// assert_eq!(items, [("text/plain;version=1.0.0", 500), ("*/*", 100), ("text/csv", 1000)]);
/// ```
pub fn weighted(text: &str) -> impl Iterator<Item = (&str, u16)> {
    pieces(text, b',')
        .map(trimmed)
        .filter(|item| !item.is_empty())
        .take(WEIGHTED_ITEMS_MAX)
        .filter_map(weigh)
}

/// An item without its weight, and that.
fn weigh(item: &str) -> Option<(&str, u16)> {
    // The first piece is the item itself, whatever it is called.
    let mut end = 0;
    for (index, piece) in pieces(item, b';').enumerate() {
        let parameter = trimmed(piece);
        if index > 0 && parameter.get(..2).is_some_and(|name| name.eq_ignore_ascii_case("q=")) {
            return Some((trimmed(&item[..end - 1]), thousandths(&parameter[2..])?));
        }
        end += piece.len() + 1;
    }
    Some((item, WHOLE))
}

/// A weight in thousandths.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let fraction = [100, 10, 1]
        .iter()
        .zip(decimals.bytes())
        .map(|(scale, byte)| scale * u16::from(byte - b'0'));
    match (whole, fraction.sum::<u16>()) {
        ("0", fraction) => Some(fraction),
        ("1", 0) => Some(WHOLE),
        _ => None,
    }
}

/// `text` cut at every `separator` that is not within a quoted string.
fn pieces(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |char: char| {
        let separates = !quoted && char == char::from(separator);
        match char {
            _ if escaped => escaped = false,
            '\\' => escaped = quoted,
            '"' => quoted = !quoted,
            _ => {}
        }
        separates
    })
}

fn trimmed(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(&str, u16)> {
        weighted(text).collect()
    }

    #[test]
    fn items_keep_their_order_and_their_parameters() {
        assert_eq!(
            read("application/openmetrics-text;version=1.0.0,text/plain; a=b ;q=0.5 ,*/*;Q=0.1"),
            [
                ("application/openmetrics-text;version=1.0.0", 1000),
                ("text/plain; a=b", 500),
                ("*/*", 100)
            ]
        );
        assert_eq!(read("gzip;q=0.8;x=y, *;q=0"), [("gzip", 800), ("*", 0)]);
        assert_eq!(read("q=0.5"), [("q=0.5", 1000)], "an item and no weight");
        assert_eq!(read(" ,,\t, "), []);
        assert_eq!(read(";q=0.5"), [("", 500)]);
    }

    #[test]
    fn weights_are_what_the_standard_allows() {
        for (text, weight) in [
            ("0", Some(0)),
            ("1", Some(1000)),
            ("0.", Some(0)),
            ("1.000", Some(1000)),
            ("0.1", Some(100)),
            ("0.01", Some(10)),
            ("0.999", Some(999)),
            ("0.9999", None),
            ("1.001", None),
            ("2", None),
            ("-0", None),
            ("+1", None),
            (".5", None),
            ("00.5", None),
            ("0,5", None),
            ("0.5 5", None),
            ("\"1\"", None),
            ("NaN", None),
            ("1e0", None),
            ("", None),
            ("0.\u{0661}", None),
        ] {
            assert_eq!(thousandths(text), weight, "{text}");
        }
    }

    #[test]
    fn a_malformed_weight_loses_its_item_alone() {
        assert_eq!(read("a;q=1.5, b;q=, c;q=0.3"), [("c", 300)]);
    }

    #[test]
    fn quoted_commas_and_semicolons_separate_nothing() {
        assert_eq!(
            read(r#"a;b="x,y;q=0.1\",";q=0.2, c"#),
            [(r#"a;b="x,y;q=0.1\",""#, 200), ("c", 1000)]
        );
        assert_eq!(read("a;b=\"never ends, c;q=0"), [("a;b=\"never ends, c;q=0", 1000)]);
    }

    #[test]
    fn no_more_items_are_looked_at_than_is_said() {
        let many = "a;q=x,".repeat(WEIGHTED_ITEMS_MAX) + "b";
        assert_eq!(read(&many), []);
        assert_eq!(read(&many[6..]), [("b", 1000)]);
    }
}
