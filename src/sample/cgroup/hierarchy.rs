//! Where the hierarchies are mounted, and which files the groups in each have.

use std::path::{Path, PathBuf};

use super::files::{CONTROLLERS, CPU_CPUACCT, File, UNIFIED};

/// A hierarchy that is mounted.
#[derive(Debug)]
pub(super) struct Mounted {
    pub(super) path: PathBuf,
    pub(super) files: &'static [File],
}

/// Every directory of the second version has this file, and none of the first.
const MARK: &str = "cgroup.controllers";

/// The hierarchies below `/sys/fs/cgroup`, the second version first. A controller is in one of them.
pub(super) fn find(directory: &Path) -> Vec<Mounted> {
    let unified = |path: PathBuf| Mounted { path, files: UNIFIED };
    if directory.join(MARK).exists() {
        // Whatever else lies here is a group.
        return vec![unified(directory.to_owned())];
    }
    let hybrid = directory.join("unified");
    let mut found: Vec<Mounted> = Vec::new();
    if hybrid.join(MARK).exists() {
        found.push(unified(hybrid));
    }
    let mut before = None;
    for controller in &CONTROLLERS {
        let mut paths = controller.directories.iter().map(|name| directory.join(name));
        let Some(path) = paths.find(|path| path.is_dir()) else { continue };
        let mounted = path.canonicalize().ok();
        // `cpu` and `cpuacct` are links to one directory where they are mounted together.
        match found.last_mut() {
            Some(last) if mounted.is_some() && mounted == before => last.files = CPU_CPUACCT,
            _ => found.push(Mounted { path, files: controller.files }),
        }
        before = mounted;
    }
    found
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn layouts_are_told_apart() {
        let root = std::env::temp_dir().join(format!("tachograph-layout-{}", std::process::id()));
        let found = |what: &str| {
            let found = find(&root.join(what));
            let show = |mounted: Mounted| {
                let name = mounted.path.file_name().expect("a name").to_string_lossy().into_owned();
                (name, mounted.files.len())
            };
            found.into_iter().map(show).collect::<Vec<_>>()
        };
        for directory in [
            "v2/memory",
            "hybrid/unified",
            "hybrid/cpu",
            "hybrid/cpuacct",
            "hybrid/memory",
            "linked/cpu,cpuacct",
            "linked/pids",
            "bare/cpuacct,cpu",
            "none",
        ] {
            fs::create_dir_all(root.join(directory)).expect("a directory");
        }
        fs::write(root.join("v2").join(MARK), "cpu\n").expect("a file");
        fs::write(root.join("hybrid/unified").join(MARK), "\n").expect("a file");
        for link in ["cpu", "cpuacct"] {
            let link = root.join("linked").join(link);
            std::os::unix::fs::symlink("cpu,cpuacct", link).expect("a link");
        }
        let expect = |all: &[(&str, usize)]| -> Vec<(String, usize)> {
            all.iter().map(|(name, files)| ((*name).to_owned(), *files)).collect()
        };
        assert_eq!(found("v2"), expect(&[("v2", 12)]));
        let hybrid = [("unified", 12), ("cpu", 1), ("cpuacct", 2), ("memory", 5)];
        assert_eq!(found("hybrid"), expect(&hybrid));
        assert_eq!(found("linked"), expect(&[("cpu", 3), ("pids", 2)]));
        assert_eq!(found("bare"), expect(&[("cpuacct,cpu", 3)]));
        assert_eq!(found("none"), expect(&[]));
        assert_eq!(found("missing"), expect(&[]));
        fs::remove_dir_all(root).expect("it was there");
    }
}
