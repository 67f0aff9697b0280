//! What of the settings a running program takes on, and what needs a restart.

use toml::{Table, Value};

use super::Settings;

/// What is taken on while the program runs.
const LIVE: [&str; 2] = ["http", "log"];

impl Settings {
    /// Takes on what of `new` can be changed while the program runs.
    pub(crate) fn take_live(&mut self, new: Self) {
        self.log = new.log;
        self.places = new.places;
        self.insecure_listen = new.insecure_listen;
        self.limits = new.limits;
        self.access_log = new.access_log;
        self.compression = new.compression;
        self.hosts = new.hosts;
    }

    /// The names of what is different in `new` and needs a restart, as in the configuration.
    pub(crate) fn fixed_differences(&self, new: &Self) -> Vec<String> {
        let (old, new) = (self.as_table(), new.as_table());
        let names = old.keys().chain(new.keys().filter(|name| !old.contains_key(*name)));
        let differ =
            |name: &&String| !LIVE.contains(&name.as_str()) && old.get(*name) != new.get(*name);
        names.filter(differ).flat_map(|name| told(name, old.get(name), new.get(name))).collect()
    }

    /// The settings as the configuration that says the same.
    fn as_table(&self) -> Table {
        let mut text = Vec::new();
        // Writing to a Vec does not fail, and what is written is a configuration.
        let _ = self.write_toml(&mut text);
        String::from_utf8_lossy(&text).parse().unwrap_or_default()
    }
}

/// The names of what differs under `name`: of lanes and stores those that do.
fn told(name: &str, old: Option<&Value>, new: Option<&Value>) -> Vec<String> {
    let list = |value: Option<&Value>| value.and_then(Value::as_array).cloned();
    let (old, new) = (list(old), list(new));
    let named = |value: &Value| value.get("name").and_then(Value::as_str).map(str::to_owned);
    let (old, new) = (old.unwrap_or_default(), new.unwrap_or_default());
    let only_in = |some: &[Value], others: &[Value]| -> Vec<String> {
        some.iter().filter(|value| !others.contains(value)).filter_map(named).collect()
    };
    let mut differ = only_in(&old, &new);
    differ.extend(only_in(&new, &old));
    differ.sort_unstable();
    differ.dedup();
    if differ.is_empty() {
        return vec![name.to_owned()];
    }
    differ.iter().map(|which| format!("{name} {which:?}")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::cli::{Common, RunFlags};
    use super::super::{merge, parse};
    use super::*;

    fn settings(text: &str) -> Settings {
        let file = parse(text).expect(text);
        merge(file, &Common::default(), RunFlags::default()).expect(text)
    }

    #[test]
    fn what_needs_a_restart_is_named_and_the_rest_is_taken_on() {
        let mut old = settings("[http]\nconnections_max = 5\n[[lane]]\nname = 'fast'");
        for (text, names) in [
            ("[[lane]]\nname = 'fast'", &[][..]),
            ("log = 'warn'\n[http]\nlisten = ['[::1]:1']\n[[lane]]\nname = 'fast'", &[]),
            ("", &["lane \"fast\""]),
            ("interval = '2s'\n[[lane]]\nname = 'fast'", &["lane \"host\""]),
            (
                "interval = '2s'\n[[lane]]\nname = 'fast'\ndepth = '1min'",
                &["lane \"fast\"", "lane \"host\""],
            ),
            ("run_dir = '/x'\nmlock = true\n[[lane]]\nname = 'fast'", &["mlock", "run_dir"]),
            ("[cgroup]\ndepth = 1\n[[lane]]\nname = 'fast'", &["cgroup"]),
            (
                "[[datastore]]\nname = 'a'\npath = '/a'\n[[lane]]\nname = 'fast'",
                &["datastore \"a\""],
            ),
        ] {
            let mut found = old.fixed_differences(&settings(text));
            found.sort_unstable();
            assert_eq!(found, names, "{text}");
        }
        old.take_live(settings(
            "log = 'warn'\ninterval = '2s'\n[http]\nlisten = []\npoints_max = 7",
        ));
        assert_eq!((&*old.log, old.limits.points_max, old.places.addresses.len()), ("warn", 7, 0));
        assert_eq!(old.lanes.len(), 2, "what runs is what it was");
    }
}
