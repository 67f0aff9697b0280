//! Settings as a configuration file that says the same.

use std::io::{self, Write};
use std::path::Path;

use tachograph::sample::Filter;

use super::super::show;
use super::{Depth, LANE, Lane, Settings, ThreadSettings, UnixSettings};

impl Settings {
    pub(crate) fn write_toml(&self, out: &mut impl Write) -> io::Result<()> {
        let Self { run_dir, state_dir, ring_dirs, log, lanes, mlock, roots, watched, .. } = self;
        let Self { places, limits, .. } = self;
        match run_dir {
            Some(dir) => writeln!(out, "run_dir = {}", path(dir))?,
            None => writeln!(out, "# run_dir is the first usual place that is on tmpfs")?,
        }
        match state_dir {
            Some(dir) => writeln!(out, "state_dir = {}", path(dir))?,
            None => writeln!(out, "# state_dir is that of systemd or the usual one")?,
        }
        let ring_dirs: Vec<_> = ring_dirs.iter().map(|dir| path(dir)).collect();
        writeln!(out, "ring_dirs = [{}]", ring_dirs.join(", "))?;
        writeln!(out, "log = {}", text(log))?;
        writeln!(out, "mlock = {mlock}")?;
        writeln!(out, "procfs = {}", path(&roots.procfs))?;
        writeln!(out, "sysfs = {}", path(&roots.sysfs))?;
        writeln!(out, "rootfs = {}", path(&roots.rootfs))?;
        for lane in lanes {
            write_lane(out, lane)?;
        }
        for store in &watched.datastores {
            writeln!(out, "\n[[datastore]]")?;
            writeln!(out, "name = {}", text(&store.name))?;
            writeln!(out, "path = {}", path(&store.path))?;
            writeln!(out, "removable = {}", store.removable)?;
        }
        writeln!(out, "\n[filesystem]")?;
        write_filter(out, "mount_points_", &watched.filesystems.mount_points)?;
        write_filter(out, "types_", &watched.filesystems.types)?;
        writeln!(out, "\n[cgroup]")?;
        writeln!(out, "depth = {}", watched.cgroups.depth)?;
        write_filter(out, "", &watched.cgroups.paths)?;
        writeln!(out, "count_max = {}", watched.cgroups.count_max)?;
        writeln!(out, "\n[textfile]")?;
        match &watched.textfiles {
            Some(directory) => writeln!(out, "directory = {}", path(directory))?,
            None => writeln!(out, "# no directory")?,
        }
        let listen: Vec<_> =
            places.addresses.iter().map(|address| text(&address.to_string())).collect();
        writeln!(out, "\n[http]\nlisten = [{}]", listen.join(", "))?;
        writeln!(out, "insecure_listen = {}", self.insecure_listen)?;
        writeln!(out, "connections_max = {}", limits.connections_max)?;
        let per_address = limits.connections_per_address_max;
        writeln!(out, "connections_per_address_max = {per_address}")?;
        writeln!(out, "header_bytes_max = {}", limits.header_bytes_max)?;
        writeln!(out, "header_timeout = \"{:?}\"", limits.header_timeout)?;
        writeln!(out, "idle_timeout = \"{:?}\"", limits.idle_timeout)?;
        writeln!(out, "write_timeout = \"{:?}\"", limits.write_timeout)?;
        writeln!(out, "body_bytes_max = {}", limits.body_bytes_max)?;
        writeln!(out, "points_max = {}", limits.points_max)?;
        writeln!(out, "streams_max = {}", limits.streams_max)?;
        writeln!(out, "grace = \"{:?}\"", limits.grace)?;
        writeln!(out, "access_log = {}", self.access_log)?;
        writeln!(out, "compress_min_bytes = {}", self.compression.bytes_min)?;
        writeln!(out, "compress_loopback = {}", self.compression.on_loopback)?;
        let hosts: Vec<_> = self.hosts.iter().map(|host| text(host)).collect();
        writeln!(out, "hosts = [{}]", hosts.join(", "))?;
        for UnixSettings { path: socket, mode, group } in &places.sockets {
            writeln!(out, "\n[[http.unix]]")?;
            writeln!(out, "path = {}", path(socket))?;
            writeln!(out, "mode = \"{mode:04o}\"")?;
            if let Some(group) = group {
                writeln!(out, "group = {}", text(group))?;
            }
        }
        Ok(())
    }
}

fn write_lane(out: &mut impl Write, lane: &Lane) -> io::Result<()> {
    let Lane { name, interval, depth, sources, thread } = lane;
    writeln!(out, "\n[[lane]]")?;
    writeln!(out, "name = {}", text(name))?;
    writeln!(out, "interval = \"{interval:?}\"")?;
    match depth {
        Depth::Asked(depth) => writeln!(out, "depth = \"{depth:?}\"")?,
        Depth::Default(depth) => {
            writeln!(out, "# depth is {}, or less to save memory", show::span(*depth))?;
        }
    }
    let ThreadSettings { cpus, policy } = thread;
    if !cpus.is_empty() {
        writeln!(out, "cpu = {cpus:?}")?;
    }
    writeln!(out, "policy = \"{policy}\"")?;
    writeln!(out, "[lane.sources] # read at every Nth tick; 0 is never")?;
    for (source, divisor) in sources.iter() {
        // The lane that is always there has what is not named by default, another one has not.
        if divisor > 0 || name == LANE {
            writeln!(out, "{source} = {divisor}")?;
        }
    }
    Ok(())
}

fn write_filter(out: &mut impl Write, prefix: &str, filter: &Filter) -> io::Result<()> {
    let list = |patterns: Vec<String>| patterns.join(", ");
    let [include, exclude] = filter.patterns();
    writeln!(out, "{prefix}include = [{}]", list(include.map(text).collect()))?;
    writeln!(out, "{prefix}exclude = [{}]", list(exclude.map(text).collect()))
}

fn text(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn path(path: &Path) -> String {
    text(&path.to_string_lossy())
}
