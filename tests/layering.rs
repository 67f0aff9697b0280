//! Modules use only what lies to their left in `sample -> record -> ring -> window -> encode -> http`, to
//! which `rights` leads as well, and one file has all the unsafe code. Read off the source, so that a slip is found when it is made.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// What each module of the crate may import. Names that no line has import nothing.
const EDGES: &[(&str, &[&str])] = &[
    ("record", &[]),
    ("sample", &["record"]),
    ("ring", &["record"]),
    ("window", &["ring", "record"]),
    ("encode", &["window", "ring", "record"]),
    ("rights", &[]),
    ("http", &["rights", "encode", "window", "ring", "record"]),
];

/// The one file with unsafe code in it.
const UNSAFE: &str = "ring/map.rs";

fn source_files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the sources can be listed") {
            let path = entry.expect("listed").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files
}

/// The file's path below `src`, with `/` between its parts.
fn name_of(path: &Path) -> String {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    path.strip_prefix(src).expect("it was found there").to_string_lossy().replace('\\', "/")
}

/// The module path of a file: `ring/map.rs` is `[ring, map]`, `ring/mod.rs` is `[ring]`.
fn module_of(file: &str) -> Vec<&str> {
    let mut parts: Vec<_> = file.trim_end_matches(".rs").split('/').collect();
    if matches!(parts.last(), Some(&"mod" | &"lib" | &"main")) {
        parts.pop();
    }
    parts
}

/// Comments and texts taken out, so that words about code are not taken for code.
fn code_of(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if first == '"' {
            text_len(rest)
        } else if rest.starts_with("'\"'") || rest.starts_with("'\\\"'") {
            rest[1..].find("'").map_or(1, |end| end + 2).max(3)
        } else if let Some(len) = raw_text_len(rest) {
            len
        } else {
            code.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        // What was skipped stays one token apart, and lines stay lines.
        code.push(' ');
        code.extend(rest[..skipped].chars().filter(|c| *c == '\n'));
        rest = &rest[skipped..];
    }
    code
}

fn text_len(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

fn raw_text_len(rest: &str) -> Option<usize> {
    let after = rest.strip_prefix("r#").or_else(|| rest.strip_prefix("r\""))?;
    let hashes = rest[1..].bytes().take_while(|byte| *byte == b'#').count();
    rest[1 + hashes..].starts_with('"').then_some(())?;
    let end = format!("\"{}", "#".repeat(hashes));
    let from = rest.len() - after.len();
    Some(rest[from..].find(&end).map_or(rest.len(), |at| from + at + end.len()))
}

/// What follows each place where the path `prefix` stands as code: one name, or those in braces.
fn names_after<'a>(code: &'a str, prefix: &str) -> Vec<&'a str> {
    let mut names = Vec::new();
    for (at, _) in code.match_indices(prefix) {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
            continue;
        }
        let after = code[at + prefix.len()..].trim_start();
        match after.strip_prefix('{') {
            Some(list) => names.extend(top_level_names(list)),
            None => names.push(name_at_start(after)),
        }
    }
    names
}

/// The first name of each item of a brace list, nested lists skipped.
fn top_level_names(list: &str) -> Vec<&str> {
    let (mut depth, mut from) = (0, 0);
    let mut names = Vec::new();
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                names.push(name_at_start(list[from..at].trim_start()));
                from = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn name_at_start(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

/// Top-level modules that `text`, the source of `file`, names.
fn imports(file: &str, text: &str) -> Vec<String> {
    let code = code_of(text);
    let depth = module_of(file).len();
    // From the module `a::b` the crate's root is `super::super`; a module inside the file, such as
    // its tests, is one or two deeper.
    let mut found: Vec<&str> = names_after(&code, "crate::");
    found.extend(names_after(&code, "tachograph::"));
    for supers in depth..=depth + 2 {
        // Deeper modules name their own file's neighbours with as many; those are not at the top.
        let top = names_after(&code, &"super::".repeat(supers));
        found.extend(top.into_iter().filter(|name| EDGES.iter().any(|(module, _)| module == name)));
    }
    found.into_iter().map(str::to_owned).collect()
}

/// What `file` imports and must not.
fn bad_imports(file: &str, text: &str) -> Vec<String> {
    let Some(own) = module_of(file).first().copied() else {
        return Vec::new();
    };
    if own == "bin" {
        return Vec::new();
    }
    let allowed = EDGES.iter().find(|(module, _)| *module == own).map_or(&[][..], |edge| edge.1);
    let bad = imports(file, text).into_iter().filter(|name| name != own);
    bad.filter(|name| !allowed.contains(&&**name)).map(|name| format!("{own} -> {name}")).collect()
}

/// Ways in which `text` has, or allows, unsafe code.
fn unsafe_code(text: &str) -> Vec<&'static str> {
    let code = code_of(text).split_whitespace().collect::<Vec<_>>().join(" ");
    let ways = [
        "unsafe {",
        "unsafe fn",
        "unsafe impl",
        "unsafe trait",
        "unsafe extern",
        "allow(unsafe_code",
        "expect(unsafe_code",
        "warn(unsafe_code",
        "#[unsafe(",
    ];
    ways.into_iter().filter(|way| code.contains(way)).collect()
}

#[test]
fn modules_import_only_what_lies_to_their_left() {
    let files = source_files();
    assert!(files.len() > 10, "only {} files were found", files.len());
    let mut wrong = Vec::new();
    for path in files {
        let (file, text) = (name_of(&path), fs::read_to_string(&path).expect("source is UTF-8"));
        wrong.extend(bad_imports(&file, &text).into_iter().map(|edge| format!("{file}: {edge}")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn unsafe_code_is_in_one_file() {
    let mut with = Vec::new();
    for path in source_files() {
        let ways = unsafe_code(&fs::read_to_string(&path).expect("source is UTF-8"));
        with.extend((!ways.is_empty()).then(|| name_of(&path)));
    }
    assert_eq!(with, [UNSAFE]);
}

#[test]
fn made_up_bad_lines_are_caught() {
    let table = [
        ("record/series.rs", "use crate::ring::Ring;", "record -> ring"),
        ("ring/slot.rs", "use crate::{record::Record, window::{Gap, Window}};", "ring -> window"),
        ("ring/slot.rs", "use crate::{\n    record::Record,\n    sample,\n};", "ring -> sample"),
        ("ring/slot.rs", "use super::super::window::Gap;", "ring -> window"),
        ("ring/slot.rs", "mod tests { use super::super::super::http::Door; }", "ring -> http"),
        ("ring/mod.rs", "use super::encode;", "ring -> encode"),
        ("window/mod.rs", "fn f() -> crate::sample::Source { todo() }", "window -> sample"),
        ("encode.rs", "pub(crate) use crate::http;", "encode -> http"),
        ("unheard_of.rs", "use crate::ring;", "unheard_of -> ring"),
    ];
    for (file, line, edge) in table {
        assert_eq!(bad_imports(file, line), [edge], "{file}: {line}");
    }
    let sound = [
        ("ring/slot.rs", "use crate::record::Record; use super::words::Words;"),
        ("ring/slot.rs", "// use crate::http;\n/* crate::http */ fn f() { g(\"crate::http::x\") }"),
        ("ring/slot.rs", "fn f() { r#\"crate::http::\"#; '\"'; } // crate::http"),
        ("ring/slot.rs", "use mycrate::http;"),
        ("http/mod.rs", "use crate::{encode, ring::Ring, window};"),
        ("bin/tachograph/main.rs", "use tachograph::sample::Source;"),
        ("lib.rs", "pub mod http; use crate::http::Door;"),
    ];
    for (file, line) in sound {
        assert_eq!(bad_imports(file, line), [""; 0], "{file}: {line}");
    }
    for line in [
        "fn f() { unsafe { g() } }",
        "fn f() { unsafe\n{ g() } }",
        "unsafe fn f() {}",
        "unsafe impl Send for X {}",
        "#![allow(unsafe_code, reason = \"\")]",
    ] {
        assert!(!unsafe_code(line).is_empty(), "{line}");
    }
    assert!(unsafe_code("// unsafe { }\nfn f() { \"unsafe {\"; }").is_empty());
}
