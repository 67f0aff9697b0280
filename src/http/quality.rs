//! Lists of wishes with weights, as `Accept` and `Accept-Encoding` are made of (RFC 9110, 12.4.2).

/// The items of a list with their weights, in thousandths. An item keeps its parameters, without the
/// weight; one without a weight has 1000. Items whose weight is none are left out.
pub(crate) fn weighted(list: &str) -> impl Iterator<Item = (&str, u16)> {
    elements(list).filter_map(|item| {
        let Some((at, value)) = weight_of(item) else { return Some((item, 1000)) };
        let weight = thousandths(value)?;
        Some((item[..at].trim_end(), weight))
    })
}

/// The elements of a list that are not empty. A comma within quotation marks parts nothing.
fn elements(list: &str) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    let parts = list.split(move |character| {
        is_quoted ^= character == '"';
        character == ',' && !is_quoted
    });
    parts.map(str::trim).filter(|item| !item.is_empty())
}

/// Where the parameter `q` begins, and what it says.
fn weight_of(item: &str) -> Option<(usize, &str)> {
    let mut at = item.find(';')?;
    loop {
        let (end, parameter) = match item[at + 1..].find(';') {
            Some(length) => (Some(at + 1 + length), &item[at + 1..at + 1 + length]),
            None => (None, &item[at + 1..]),
        };
        if let Some((name, value)) = parameter.split_once('=')
            && name.trim().eq_ignore_ascii_case("q")
        {
            return Some((at, value.trim()));
        }
        at = end?;
    }
}

/// `0` to `1`, with three decimals at most.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, places) = text.split_once('.').unwrap_or((text, ""));
    if places.len() > 3 || !places.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digit =
        |place: usize| places.as_bytes().get(place).map_or(0, |byte| u16::from(byte - b'0'));
    let part = digit(0) * 100 + digit(1) * 10 + digit(2);
    match whole {
        "0" => Some(part),
        "1" if part == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn items_have_their_weights() {
        let list = "gzip;q=0.5, deflate ; Q=1.000,,br;q=0,*;q=0.001 , a/b;v=\"1,2\";q=0.25, zstd";
        let expected = [
            ("gzip", 500),
            ("deflate", 1000),
            ("br", 0),
            ("*", 1),
            ("a/b;v=\"1,2\"", 250),
            ("zstd", 1000),
        ];
        assert_eq!(weighted(list).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_is_no_weight_is_no_wish() {
        for wrong in ["q=", "q=1.001", "q=2", "q=.5", "q=0.1234", "q=-1", "q=nan", "q=1e0"] {
            let list = format!("gzip;{wrong}");
            assert!(!weighted(&list).any(|(item, _)| item == "gzip"), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_list(list in "\\PC{0,200}") {
            for (item, weight) in weighted(&list) {
                prop_assert!(list.contains(item) && weight <= 1000);
            }
        }
    }
}
