//! The names that an application's ring can have.

/// Longest name of an application's ring, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// Names of lanes that a recorder knows without being told.
const LANES: [&str; 2] = ["host", "fast"];

/// Why an application's ring cannot have this name, if it cannot.
///
/// It is a file's name and goes into queries and commands as it is: letters and digits of ASCII, `_`
/// and `-`. The names of a recorder's own lanes are not to be had.
///
/// # Examples
///
/// ```
/// use tachograph::ring::unfit_name;
///
/// assert_eq!(unfit_name("shop-2"), None);
/// assert_eq!(unfit_name("host"), Some("a recorder's lane has it"));
/// assert!(unfit_name("../shop").is_some());
/// ```
#[must_use]
pub fn unfit_name(name: &str) -> Option<&'static str> {
    let fit = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if name.is_empty() {
        Some("it is empty")
    } else if name.len() > NAME_BYTES_MAX {
        Some("it is longer than 64 bytes")
    } else if !name.bytes().all(fit) {
        Some("it has other characters than ASCII letters, digits, _ and -")
    } else if LANES.contains(&name) {
        Some("a recorder's lane has it")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_file_names_that_no_lane_has() {
        for name in ["shop", "Shop-2_b", "hosts", "-", &"x".repeat(NAME_BYTES_MAX)] {
            assert_eq!(unfit_name(name), None, "{name}");
        }
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        let wrong = ["", ".", "..", "a/b", "a.ring", "a b", "a\n", "\u{fc}", "host", "fast", &long];
        for name in wrong {
            assert!(unfit_name(name).is_some(), "{name}");
        }
        let told = unfit_name(&long).expect("too long");
        assert!(told.contains(&NAME_BYTES_MAX.to_string()), "{told}");
    }
}
