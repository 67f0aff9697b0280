//! ZFS pools come and go, and what is damaged costs only itself.
//!
//! The trees are made here in the form in which OpenZFS shows its kstats. The source reads them on
//! threads, so that a test waits until what it has changed is seen.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use tachograph::record::{Record, Schema};
use tachograph::sample::{Roots, SampleError, Sampler, Sampling, Selection, parse};

#[path = "support/scratch.rs"]
mod scratch;
use scratch::Scratch;

/// The file `io` of a pool; its numbers tell it from others.
fn io(nread: u64) -> String {
    let numbers: Vec<_> = (nread..nread + 12).map(|number| format!("{number:<8}")).collect();
    format!(
        "25 3 0x00 1 80 21130673591 18749909907907817\n\
         nread    nwritten reads    writes   wtime    wlentime wupdate  rtime    rlentime rupdate  \
         wcnt     rcnt    \n{} \n",
        numbers.join(" "),
    )
}

/// What a pool with such numbers has.
fn values_of(nread: u64, state: &str) -> BTreeMap<String, u64> {
    let metrics = [
        ("read_bytes", 0),
        ("written_bytes", 1),
        ("reads_completed", 2),
        ("writes_completed", 3),
        ("wait_ns", 4),
        ("wait_weighted_ns", 5),
        ("run_ns", 7),
        ("run_weighted_ns", 8),
        ("waiting", 10),
        ("running", 11),
    ];
    let values = metrics.map(|(metric, index)| (metric.to_owned(), nread + index));
    values.into_iter().chain([(format!("state={state}"), 1), ("stuck".to_owned(), 0)]).collect()
}

/// A host, and a sampler of nothing but its pools.
struct Host {
    scratch: Scratch,
    sampler: Option<Sampler>,
    schema: Schema,
    record: Record,
    ticks: u64,
}

impl Host {
    fn new() -> Self {
        let (schema, record) = (Schema::new(), Record::default());
        Self { scratch: Scratch::new(), sampler: None, schema, record, ticks: 0 }
    }

    fn place(&self, name: &str) -> PathBuf {
        self.scratch.path().join("spl/kstat/zfs").join(name)
    }

    /// Puts a file at once, so that nobody sees half of it.
    fn put(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.place(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        let half = self.scratch.path().join("half");
        fs::write(&half, text).expect("a file");
        fs::rename(half, path).expect("a file");
    }

    fn put_pool(&self, pool: &str, nread: u64, state: &str) {
        self.put(&format!("{pool}/io"), io(nread));
        self.put(&format!("{pool}/state"), format!("{state}\n"));
    }

    fn remove(&self, name: &str) {
        fs::remove_dir_all(self.place(name)).expect("it was there");
    }

    fn sampling(&self) -> Sampling {
        let mut sources = Selection::none();
        sources.set("zfs_pool", 1).expect("a source");
        let procfs = self.scratch.path().to_owned();
        let roots = Roots { procfs, ..Roots::default() };
        Sampling { roots, sources, ..Sampling::default() }
    }

    /// What one more tick yields, by object; the ages only have to be there.
    fn tick(&mut self) -> BTreeMap<String, BTreeMap<String, u64>> {
        let sampling = self.sampling();
        let sampler =
            self.sampler.get_or_insert_with(|| Sampler::open(&sampling, &mut self.schema));
        self.ticks += 1;
        self.schema.clear_changes();
        sampler.tick(self.ticks, false, &mut self.schema, &mut self.record);
        let mut objects = BTreeMap::<_, BTreeMap<_, _>>::new();
        for (column, series) in self.schema.iter() {
            let values = objects.entry(series.object.to_string()).or_default();
            if let Some(value) = self.record.u64(column) {
                values.insert(series.metric.to_string(), value);
            }
        }
        for values in objects.values_mut() {
            let age = values.remove("age_ms");
            assert!(age.is_some() || values.len() == 1, "{values:?}");
        }
        objects
    }

    fn objects(&mut self) -> Vec<String> {
        self.tick().into_keys().collect()
    }

    /// Ticks until the pools are as `wanted`: pool, first number and state. A test that waits for
    /// ever is ended by whoever runs it.
    fn tick_until(&mut self, wanted: &[(&str, u64, &str)]) {
        let wanted = wanted
            .iter()
            .map(|(pool, nread, state)| (format!("pool/{pool}"), values_of(*nread, state)));
        let wanted: BTreeMap<_, _> = wanted.collect();
        while self.tick() != wanted {
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn state(&mut self) -> Option<Result<(), SampleError>> {
        self.sampler.as_mut()?.drain_events().last().map(|event| event.state)
    }
}

#[test]
fn machine_without_zfs_has_no_pools_and_no_error() {
    let mut host = Host::new();
    for _ in 0..100 {
        assert!(host.tick().is_empty());
    }
    assert_eq!(host.sampler.as_ref().map(Sampler::errors), Some(0));
    host.put("arcstats", "9 1 0x01 1 272 1 2\nname type data\nhits 4 5\n");
    host.put_pool("tank", 100, "ONLINE");
    host.tick_until(&[("tank", 100, "ONLINE")]);
    host.remove("");
    host.tick_until(&[]);
    assert_eq!(host.sampler.as_ref().map(Sampler::failing), Some(0));
}

#[test]
fn two_pools_side_by_side_change_each_for_itself() {
    let mut host = Host::new();
    host.put_pool("rpool", 100, "ONLINE");
    host.put_pool("my tank", 500, "ONLINE");
    host.put("arcstats", "9 1 0x01 1 272 1 2\nname type data\nhits 4 5\n");
    host.tick_until(&[("my%20tank", 500, "ONLINE"), ("rpool", 100, "ONLINE")]);
    host.put_pool("my tank", 600, "DEGRADED");
    host.tick_until(&[("my%20tank", 600, "DEGRADED"), ("rpool", 100, "ONLINE")]);
    host.put_pool("rpool", 101, "SUSPENDED");
    host.tick_until(&[("my%20tank", 600, "DEGRADED"), ("rpool", 101, "SUSPENDED")]);
    assert_eq!(host.state(), None, "nothing failed");
    let states = host.schema.iter().filter(|(_, series)| series.metric.starts_with("state="));
    assert_eq!(states.count(), 2, "the old ones have ended");
}

#[test]
fn exported_pool_ends_and_begins_anew_when_it_is_imported() {
    let mut host = Host::new();
    host.put_pool("rpool", 100, "ONLINE");
    host.put_pool("tank", 500, "ONLINE");
    host.tick_until(&[("rpool", 100, "ONLINE"), ("tank", 500, "ONLINE")]);
    host.remove("tank");
    host.tick_until(&[("rpool", 100, "ONLINE")]);
    host.put_pool("tank", 7, "ONLINE");
    host.tick_until(&[("rpool", 100, "ONLINE"), ("tank", 7, "ONLINE")]);
    // Between two looks: a file that is open is not that of the pool any more.
    host.remove("tank");
    host.put_pool("tank", 9, "ONLINE");
    host.tick_until(&[("rpool", 100, "ONLINE"), ("tank", 9, "ONLINE")]);
}

#[test]
fn pool_that_is_damaged_costs_only_itself() {
    let mut host = Host::new();
    host.put_pool("rpool", 100, "ONLINE");
    host.put_pool("tank", 500, "ONLINE");
    let both = [("rpool", 100, "ONLINE"), ("tank", 500, "ONLINE")];
    host.tick_until(&both);
    for cut in [0, 10, io(500).len() - 40, io(500).len() - 1] {
        host.put("tank/io", &io(500)[..cut]);
        while host.tick()["pool/tank"].contains_key("read_bytes") {
            thread::sleep(Duration::from_millis(20));
        }
        let values = host.tick();
        assert_eq!(values["pool/rpool"], values_of(100, "ONLINE"));
        let left = BTreeMap::from([("state=ONLINE".to_owned(), 1), ("stuck".to_owned(), 0)]);
        assert_eq!(values["pool/tank"], left, "cut after {cut}");
        let error = if cut == 0 { SampleError::Empty } else { SampleError::Truncated };
        assert_eq!(host.state(), Some(Err(error)));
        host.put("tank/io", io(500));
        host.tick_until(&both);
        assert_eq!(host.state(), Some(Ok(())));
    }
    // What cannot be read at all is no reason to look at the others less often.
    fs::remove_file(host.place("tank/io")).expect("it was there");
    fs::create_dir(host.place("tank/io")).expect("a directory");
    while host.tick()["pool/tank"].contains_key("read_bytes") {
        thread::sleep(Duration::from_millis(20));
    }
    for _ in 0..100 {
        assert_eq!(host.tick()["pool/rpool"], values_of(100, "ONLINE"));
    }
}

#[test]
fn newer_zfs_says_only_the_state() {
    let mut host = Host::new();
    host.put("tank/state", "ONLINE\n");
    host.put("tank/iostats", "25 1 0x01 1 272 1 2\nname type data\ntrim_bytes_written 4 0\n");
    while host.tick().get("pool/tank").is_none_or(|values| values.len() < 2) {
        thread::sleep(Duration::from_millis(20));
    }
    let values = BTreeMap::from([("state=ONLINE".to_owned(), 1), ("stuck".to_owned(), 0)]);
    assert_eq!(host.tick()["pool/tank"], values);
    assert_eq!(host.sampler.as_ref().map(Sampler::failing), Some(0));
}

#[test]
fn thousands_of_datasets_do_not_slow_a_pool_down_and_pools_have_a_limit() {
    let mut host = Host::new();
    for id in 0..3000 {
        host.put(&format!("tank/objset-{id:#x}"), "not looked at");
    }
    host.put_pool("tank", 500, "ONLINE");
    host.tick_until(&[("tank", 500, "ONLINE")]);
    for pool in 0..100 {
        host.put_pool(&format!("a{pool:03}"), pool, "ONLINE");
    }
    while host.state() != Some(Err(SampleError::TooMany)) {
        host.tick();
        thread::sleep(Duration::from_millis(20));
    }
    let first: Vec<_> = (0..64).map(|pool| format!("pool/a{pool:03}")).collect();
    assert_eq!(host.objects(), first);
}

#[test]
fn text_that_is_cut_says_nothing() {
    let text = io(500);
    assert_eq!(parse::zfs_pool_io(text.as_bytes()).map(|io| (io.nread, io.rcnt)), Ok((500, 511)));
    for cut in 0..text.len() {
        let cut = parse::zfs_pool_io(&text.as_bytes()[..cut]);
        assert!(matches!(cut, Err(SampleError::Truncated | SampleError::Empty)), "{cut:?}");
    }
}
