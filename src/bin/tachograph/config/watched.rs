//! What is watched besides the kernel's own files: stores, mounts, control groups, text files.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use serde::Deserialize;
use tachograph::encode::STORES_MAX;
use tachograph::sample::{Cgroups, Datastore, Filesystems, Filter};

/// Longest name of a store, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// Most names in a control group's path that can be asked for.
const CGROUP_DEPTH_MAX: usize = 32;

/// What is watched, for all lanes.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    pub datastores: Vec<Datastore>,
    pub filesystems: Filesystems,
    pub cgroups: Cgroups,
    pub textfiles: Option<PathBuf>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DatastoreKeys {
    name: String,
    path: PathBuf,
    #[serde(default)]
    removable: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FilesystemKeys {
    mount_points_include: Option<Vec<String>>,
    mount_points_exclude: Option<Vec<String>>,
    types_include: Option<Vec<String>>,
    types_exclude: Option<Vec<String>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CgroupKeys {
    depth: Option<usize>,
    include: Option<Vec<String>>,
    exclude: Option<Vec<String>>,
    count_max: Option<usize>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TextfileKeys {
    directory: Option<PathBuf>,
}

impl Watched {
    pub(super) fn of(
        datastores: Vec<DatastoreKeys>,
        datastore_flags: Vec<(String, PathBuf)>,
        filesystem: FilesystemKeys,
        cgroup: CgroupKeys,
        textfile: TextfileKeys,
    ) -> anyhow::Result<Self> {
        let defaults = Filesystems::default();
        let FilesystemKeys {
            mount_points_include,
            mount_points_exclude,
            types_include,
            types_exclude,
        } = filesystem;
        let filesystems = Filesystems {
            mount_points: filter(
                &defaults.mount_points,
                mount_points_include,
                mount_points_exclude,
            )
            .context("in [filesystem]")?,
            types: filter(&defaults.types, types_include, types_exclude)
                .context("in [filesystem]")?,
        };
        Ok(Self {
            datastores: stores(datastores, datastore_flags)?,
            filesystems,
            cgroups: cgroups(cgroup).context("in [cgroup]")?,
            textfiles: textfile.directory,
        })
    }
}

fn cgroups(keys: CgroupKeys) -> anyhow::Result<Cgroups> {
    let defaults = Cgroups::default();
    let depth = keys.depth.unwrap_or(defaults.depth);
    if !(1..=CGROUP_DEPTH_MAX).contains(&depth) {
        bail!("depth = {depth} is not 1 to {CGROUP_DEPTH_MAX}");
    }
    let paths = filter(&defaults.paths, keys.include, keys.exclude)?;
    Ok(Cgroups { depth, paths, count_max: keys.count_max.unwrap_or(defaults.count_max) })
}

/// A filter of the default's patterns, those replaced that are given.
fn filter(
    default: &Filter,
    include: Option<Vec<String>>,
    exclude: Option<Vec<String>>,
) -> anyhow::Result<Filter> {
    let [default_include, default_exclude] = default.patterns();
    let include = include.unwrap_or_else(|| default_include.map(str::to_owned).collect());
    let exclude = exclude.unwrap_or_else(|| default_exclude.map(str::to_owned).collect());
    Ok(Filter::new(&include, &exclude)?)
}

fn stores(
    keys: Vec<DatastoreKeys>,
    flags: Vec<(String, PathBuf)>,
) -> anyhow::Result<Vec<Datastore>> {
    let of_keys = |DatastoreKeys { name, path, removable }| Datastore { name, path, removable };
    let of_flag = |(name, path)| Datastore { name, path, removable: false };
    let stores: Vec<_> =
        keys.into_iter().map(of_keys).chain(flags.into_iter().map(of_flag)).collect();
    if stores.len() > STORES_MAX {
        bail!("there are {} datastores; {STORES_MAX} is the most", stores.len());
    }
    let mut names = BTreeSet::new();
    for Datastore { name, path, .. } in &stores {
        let fit = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        if !begins || name.len() > NAME_BYTES_MAX || !name.bytes().all(fit) {
            bail!(
                "{name:?} is no name for a datastore: 1 to {NAME_BYTES_MAX} letters, digits, \
                 . _ and - are, the first a letter or a digit"
            );
        }
        if !path.is_absolute() {
            bail!("the path {} of the datastore {name:?} is not absolute", path.display());
        }
        if !names.insert(name) {
            bail!("there are two datastores {name:?}");
        }
    }
    Ok(stores)
}
