//! What the compiler makes of the protocol: reading and publishing cost no locked instruction and no
//! fence on x86-64, and on aarch64 the barriers that the protocol names, on every path, and no other.
//!
//! The library and `tests/assembly/probe.rs` are compiled to assembly as a release is, whatever the
//! options of this test. A compiler may put one barrier into each of several branches, so barriers
//! are not counted in the text: every path through a function is gone along.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const READS: [&str; 3] = ["probe_latest", "probe_read", "probe_read_into"];
/// What a path may end with: a record that is not there is looked into, out of the way.
const COLD: [&str; 4] = ["8diagnose", "12latest_again", "panic", "slice_index_fail"];
/// What is called and is not the ring's: our own memory is filled, and grows once.
const FOREIGN: [&str; 6] = ["memset", "memcpy", "memmove", "panic", "slice_index_fail", "5alloc"];

/// One instruction: what it does and to what.
#[derive(Clone, Debug)]
struct Instruction {
    name: String,
    operands: String,
}

impl Instruction {
    /// The function that it calls or goes on in, if it does.
    fn callee(&self) -> Option<&str> {
        let is_call = matches!(&*self.name, "call" | "callq" | "jmp" | "jmpq" | "bl" | "b");
        let target = self.operands.trim_start_matches('*');
        let target = target.split(['@', ' ', '\t', '(']).next().unwrap_or_default();
        (is_call && !target.starts_with(".L")).then_some(target)
    }

    /// The label that it may go on at, on aarch64.
    fn branch(&self) -> Option<&str> {
        let tests = ["b", "cbz", "cbnz", "tbz", "tbnz"];
        if !tests.contains(&&*self.name) && !self.name.starts_with("b.") {
            return None;
        }
        self.operands.rsplit([',', ' ', '\t']).next().filter(|target| target.starts_with(".L"))
    }

    /// Whether the one after it is never reached from it.
    fn ends(&self) -> bool {
        matches!(&*self.name, "b" | "ret" | "jmp" | "jmpq" | "retq" | "brk" | "ud2")
    }
}

/// A function: its instructions, and which of them has which label.
#[derive(Debug, Default)]
struct Function {
    code: Vec<Instruction>,
    labels: BTreeMap<String, usize>,
}

impl Function {
    fn text(&self) -> String {
        let mut text = String::new();
        for (at, Instruction { name, operands }) in self.code.iter().enumerate() {
            for (label, _) in self.labels.iter().filter(|(_, place)| **place == at) {
                writeln!(text, "{label}:").expect("a string");
            }
            writeln!(text, "\t{name}\t{operands}").expect("a string");
        }
        text
    }

    /// What is seen on each way from the beginning to a return, as `step` tells of it: what an
    /// instruction adds. Loads in a row, or stores, are seen as one, also those of a loop.
    fn paths(&self, step: impl Fn(&Instruction) -> Option<char>) -> BTreeSet<String> {
        /// Far more than a path of the protocol has.
        const SEEN_MAX: usize = 32;
        let mut paths = BTreeSet::new();
        let mut known = BTreeSet::new();
        let mut ahead = vec![(0, String::new())];
        while let Some((at, mut seen)) = ahead.pop() {
            if !known.insert((at, seen.clone())) {
                continue;
            }
            let instruction = self.code.get(at).expect("a path ends within its function");
            let is_cold = |name: &str| COLD.iter().any(|cold| name.contains(cold));
            if instruction.callee().is_some_and(is_cold) {
                continue;
            }
            assert!(!matches!(&*instruction.name, "br" | "blr"), "a path to nobody knows where");
            let goes_on = |added: &char| matches!(added, 'L' | 'S') && seen.ends_with(*added);
            if let Some(added) = step(instruction).filter(|added| !goes_on(added)) {
                seen.push(added);
                assert!(seen.len() < SEEN_MAX, "a loop with barriers: {seen}");
            }
            if instruction.name == "ret"
                || instruction.name == "b" && instruction.branch().is_none()
            {
                paths.insert(seen);
                continue;
            }
            if let Some(label) = instruction.branch() {
                ahead.push((self.labels[label], seen.clone()));
            }
            if !instruction.ends() {
                ahead.push((at + 1, seen));
            }
        }
        paths
    }
}

/// The functions of some assembly, by their mangled names.
fn functions(text: &str) -> BTreeMap<String, Function> {
    let mut functions = BTreeMap::new();
    let mut current: Option<(String, Function)> = None;
    for line in text.lines() {
        let label = line.strip_suffix(':').filter(|label| !label.starts_with(['\t', ' ', '#']));
        if let Some(label) = label {
            if label.starts_with(".Lfunc_end") {
                functions.extend(current.take());
            } else if let Some((_, function)) = current.as_mut().filter(|_| label.starts_with(".L"))
            {
                function.labels.insert(label.to_owned(), function.code.len());
            } else if !label.starts_with('.') {
                current = Some((label.to_owned(), Function::default()));
            }
        }
        let code = line.strip_prefix('\t').filter(|code| !code.starts_with(['.', '#', '/']));
        if let (Some(code), Some((_, function))) = (code, &mut current) {
            let (name, operands) = code.split_once(['\t', ' ']).unwrap_or((code, ""));
            let (name, operands) = (name.to_owned(), operands.trim().to_owned());
            function.code.push(Instruction { name, operands });
        }
    }
    functions
}

/// The one function with this name among others in its mangled name.
fn find<'a>(functions: &'a BTreeMap<String, Function>, name: &str) -> (&'a str, &'a Function) {
    let mut found = functions.iter().filter(|(mangled, _)| mangled.contains(name));
    let (mangled, function) =
        found.next().unwrap_or_else(|| panic!("{name} is not in the assembly"));
    assert!(found.next().is_none(), "{name} is there twice");
    (mangled, function)
}

/// Runs a compiler so that no option of whoever runs this test has a say in what it makes.
fn run(command: &mut Command) {
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let chosen = ["CARGO_PROFILE_", "CARGO_BUILD_", "CARGO_TARGET_", "CARGO_ENCODED_"];
        if chosen.iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    let output = command.env("RUSTFLAGS", "").output().expect("it can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn rustc() -> Command {
    Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
}

/// Whether the target's standard library is installed; says so if not.
fn has_std(target: &str) -> bool {
    let found = rustc().args(["--print", "target-libdir", "--target", target]).output();
    let found = found.expect("there is a compiler, it has compiled this");
    let dir = String::from_utf8_lossy(&found.stdout).trim().to_owned();
    let is_there = found.status.success() && Path::new(&dir).is_dir();
    if !is_there {
        eprintln!("LEFT OUT: assembly of {target}: rustup target add {target}");
    }
    is_there
}

/// The assembly of the library and of the probe for a target, as a release is compiled.
fn assembly(target: &str) -> BTreeMap<String, Function> {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("assembly");
    fs::create_dir_all(&dir).expect("the build directory can be written to");
    let file = |name: &str| dir.join(format!("{name}-{target}.s"));
    let emit = |path: &PathBuf| format!("--emit=asm={}", path.display());
    let (library, probe) = (file("library"), file("probe"));
    let options = [
        "profile.release.opt-level=3",
        "profile.release.lto=false",
        "profile.release.debug=false",
        "profile.release.debug-assertions=false",
        "profile.release.overflow-checks=false",
        "profile.release.incremental=false",
    ];
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(ROOT).args(["rustc", "--offline", "--locked", "--quiet", "--release"]);
    cargo.args(["--lib", "--no-default-features", "--target", target, "--target-dir"]).arg(&dir);
    cargo.args(options.iter().flat_map(|option| ["--config", option]));
    run(cargo.args(["--", "-Ccodegen-units=1", &emit(&library)]));

    let built = dir.join(target).join("release");
    let dependencies = |path: PathBuf| format!("-Ldependency={}", path.display());
    let mut compile = rustc();
    // Where the compiler puts what it makes meanwhile: under one name, whatever the target is.
    compile.current_dir(&built);
    compile.args(["--edition=2024", "--crate-type=lib", "-Copt-level=3", "-Ccodegen-units=1"]);
    compile.args(["--target", target, &emit(&probe), "--extern"]);
    compile.arg(format!("tachograph={}", built.join("libtachograph.rlib").display()));
    // The macros that a dependency is made with are of the machine that compiles.
    compile.arg(dependencies(built.join("deps"))).arg(dependencies(dir.join("release/deps")));
    run(compile.arg(Path::new(ROOT).join("tests/assembly/probe.rs")));

    let mut all = String::new();
    for path in [&library, &probe] {
        all.push_str(&fs::read_to_string(path).expect("the compiler wrote it"));
    }
    functions(&all)
}

/// The functions that reading and publishing are made of, with all that they call.
fn closure(functions: &BTreeMap<String, Function>) -> BTreeMap<&str, &Function> {
    let mut reached = BTreeMap::new();
    let mut ahead: Vec<_> = READS.iter().map(|name| find(functions, &length_and(name))).collect();
    ahead.push(find(functions, "6Writer7publish"));
    while let Some((name, function)) = ahead.pop() {
        if reached.insert(name, function).is_some() {
            continue;
        }
        for callee in function.code.iter().filter_map(Instruction::callee) {
            if FOREIGN.iter().any(|foreign| callee.contains(foreign)) {
                continue;
            }
            let found = functions.get_key_value(callee);
            let (name, function) =
                found.unwrap_or_else(|| panic!("{name} calls {callee}, which nobody knows"));
            ahead.push((name, function));
        }
    }
    reached
}

/// A name as mangling has it: with its length before it, so that none is the beginning of another.
fn length_and(name: &str) -> String {
    format!("{}{name}", name.len())
}

/// Whether an instruction of x86-64 makes other processors wait, or waits for them.
fn is_locked(Instruction { name, operands }: &Instruction) -> bool {
    let fences = ["lock", "mfence", "lfence", "sfence", "cpuid", "serialize"];
    fences.contains(&&**name) || name.starts_with("xchg") && operands.contains('(')
}

#[test]
fn reading_and_publishing_take_no_lock_and_no_fence_on_x86_64() {
    let target = "x86_64-unknown-linux-gnu";
    if !has_std(target) {
        return;
    }
    let functions = assembly(target);
    let closure = closure(&functions);
    for (name, function) in &closure {
        let locked = function.code.iter().find(|instruction| is_locked(instruction));
        assert!(locked.is_none(), "{locked:?} in {name}:\n{}", function.text());
    }
    // What is seen here is really the code in question, and the test would see a lock.
    let names: Vec<_> = closure.keys().copied().collect();
    assert!(closure.len() <= 8, "what is hot is inlined: {names:?}");
    let others = functions.iter().filter(|(name, _)| !closure.contains_key(name.as_str()));
    let locks = others.flat_map(|(_, function)| &function.code).filter(|one| is_locked(one));
    assert!(locks.count() > 10, "elsewhere the library counts its references");
}

/// What a step of a reader is: `L` loads, `A` the barrier of an acquire fence, `!` any other barrier
/// or atomic instruction. Its own stack does not count.
fn reading(instruction: &Instruction) -> Option<char> {
    let Instruction { name, operands } = instruction;
    let is_load = name.starts_with("ldr") || name.starts_with("ldp") || name.starts_with("ldur");
    match &**name {
        "dmb" if operands == "ishld" => Some('A'),
        _ if is_barrier(name) => Some('!'),
        _ if is_load && !operands.contains("[sp") => Some('L'),
        _ => None,
    }
}

/// What a step of the writer is: `S` stores, `F` the barrier of the release fence, `R` a store that
/// releases, `!` any other barrier or atomic instruction.
fn writing(instruction: &Instruction) -> Option<char> {
    let Instruction { name, operands } = instruction;
    let is_store = name.starts_with("str") || name.starts_with("stp") || name.starts_with("stur");
    match &**name {
        "dmb" if operands == "ish" => Some('F'),
        "stlr" => Some('R'),
        _ if is_barrier(name) => Some('!'),
        _ if is_store && !operands.contains("[sp") => Some('S'),
        _ => None,
    }
}

/// Whether an instruction of aarch64 orders others, or loads and stores at once.
fn is_barrier(name: &str) -> bool {
    let exact = ["dmb", "dsb", "isb", "stlr"];
    let families = ["lda", "ldx", "stx", "stlx", "cas", "swp", "ldadd", "ldset", "ldclr", "ldeor"];
    exact.contains(&name) || families.iter().any(|family| name.starts_with(family))
}

#[test]
fn reading_and_publishing_have_the_barriers_of_the_protocol_on_aarch64() {
    let target = "aarch64-unknown-linux-gnu";
    if !has_std(target) {
        return;
    }
    let functions = assembly(target);
    let closure = closure(&functions);
    let names: Vec<_> = closure.keys().copied().collect();
    assert!(closure.len() <= 8, "what is hot is inlined: {names:?}");
    let check = |name: &str, step: fn(&Instruction) -> Option<char>, expected: &[&str]| {
        let (mangled, function) = find(&functions, name);
        let paths = function.paths(step);
        let expected: BTreeSet<_> = expected.iter().map(|path| (*path).to_owned()).collect();
        assert_eq!(paths, expected, "{mangled}:\n{}", function.text());
    };
    let calls = closure.iter().filter(|(name, _)| {
        let is_hot = name.contains("probe") || name.contains("6Writer7publish");
        !is_hot && !COLD.iter().any(|cold| name.contains(cold))
    });
    for (name, function) in calls {
        let barrier = function.code.iter().find(|instruction| is_barrier(&instruction.name));
        assert!(barrier.is_none(), "{barrier:?} in {name}:\n{}", function.text());
    }
    // The slot, the fence of B, the words, the fence of A, the slot. Before these, for the newest
    // record, the head and the fence of C; there may be none.
    check(&length_and("probe_read"), reading, &["LALAL"]);
    check(&length_and("probe_read_into"), reading, &["LALAL"]);
    check(&length_and("probe_latest"), reading, &["LA", "LALALAL"]);
    // The odd state, the fence of A, the words, the releases of B and C, the heartbeat, that of D;
    // then what the writer itself remembers.
    check("6Writer7publish", writing, &["SFSRRSRS"]);
}

#[test]
fn paths_are_told_apart_and_labels_are_followed() {
    let text = "one:\n\tldr\tx0, [x1]\n\tcbz\tx0, .LBB0_2\n\tdmb\tishld\n\tldr\tx2, [sp, #8]\n\
                \tret\n.LBB0_2:\n\tbl\tmemset\n\tldaxr\tx1, [x2]\n\tb\t.LBB0_3\n.LBB0_3:\n\
                \tldr\tx1, [x2]\n\tcbnz\tx1, .LBB0_3\n\tcbz\tx2, .LBB0_4\n\tret\n.LBB0_4:\n\
                \tbl\tcore9panicking\n.Lfunc_end0:\n";
    let functions = functions(text);
    let (_, function) = find(&functions, "one");
    let paths: Vec<_> = function.paths(reading).into_iter().collect();
    assert_eq!(paths, ["L!L", "LA"]);
}
