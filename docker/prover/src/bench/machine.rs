//! The properties of this machine that affect the figures, without its name.

use std::fs;
use std::process::Command;
use std::thread;

use serde::{Deserialize, Serialize};

use super::disk;

/// With more processes than this that wait for a processor, on the average of the
/// last minute, other work disturbs the measurements.
const BUSY: f64 = 1.0;

/// The kind and the state of a machine. A value that this machine does not tell is
/// `None`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// How many processors this process may use.
    pub processors: usize,
    /// The kernel's name and version, without what its builder has added.
    pub kernel: Option<String>,
    /// The filesystem of cargo's target folder.
    pub filesystem: Option<String>,
    /// The version of rustc.
    pub rust: Option<String>,
    /// The version of Go.
    pub go: Option<String>,
    /// The load of the last minute, before the first measurement.
    pub load: Option<f64>,
    /// The day in UTC: `2026-01-31`.
    pub date: Option<String>,
}

impl Machine {
    /// This machine, now.
    pub fn now() -> Self {
        // The load comes first, because each of these programs adds to it.
        let load = load();
        let go = first_line("go", &["version"]);
        let version = |text: String| {
            text.split(' ').nth(2).map(|version| version.to_owned())
        };
        let rust = first_line("rustc", &["--version"]);
        let rust = rust.and_then(|text| {
            text.split(' ').nth(1).map(|version| version.to_owned())
        });
        Self {
            processors: thread::available_parallelism().map_or(1, usize::from),
            kernel: first_line("uname", &["-sr"]).map(|text| plain(&text)),
            filesystem: disk::kind(),
            rust,
            go: go.and_then(version),
            load,
            date: first_line("date", &["-u", "+%Y-%m-%d"]),
        }
    }

    /// Whether other work disturbed the measurements. A load that is not known does
    /// not count as busy.
    pub fn is_busy(&self) -> bool {
        self.load.is_some_and(|load| load > BUSY)
    }

    /// The facts, each as a few words.
    pub fn facts(&self) -> Vec<String> {
        let unknown = || "unknown".to_owned();
        let processors = self.processors;
        let plural = if processors == 1 { "" } else { "s" };
        let mut facts = vec![
            format!("{processors} processor{plural}"),
            self.kernel.clone().unwrap_or_else(unknown),
            format!("disk {}", self.filesystem.as_deref().unwrap_or("unknown")),
            format!("Rust {}", self.rust.as_deref().unwrap_or("unknown")),
        ];
        if let Some(go) = &self.go {
            facts.push(format!("Go {}", go.trim_start_matches("go")));
        }
        facts.push(match self.load {
            Some(load) => format!("load {load:.2} at the start"),
            None => "load unknown".to_owned(),
        });
        facts.extend(self.date.clone());
        facts
    }
}

/// The average number of processes that wanted a processor in the last minute.
fn load() -> Option<f64> {
    if let Ok(text) = fs::read_to_string("/proc/loadavg") {
        return text.split(' ').next()?.parse().ok();
    }
    load_in(&first_line("uptime", &[])?)
}

/// Reads the first of three loads in the output of `uptime`. macOS writes no commas
/// between them, and some locales write a comma in each number.
fn load_in(uptime: &str) -> Option<f64> {
    let (_, loads) = uptime.split_once("load average")?;
    let (_, loads) = loads.split_once(':')?;
    let first = loads.split_whitespace().next()?.trim_end_matches(',');
    first.replace(',', ".").parse().ok()
}

/// `Linux 6.1.0` of `Linux 6.1.0-18-amd64`.
fn plain(kernel: &str) -> String {
    kernel.split(['-', '+', '_']).next().unwrap_or_default().to_owned()
}

/// The first line of a program's output, if there is such a program.
fn first_line(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let line = text.lines().find(|line| !line.trim().is_empty())?.trim();
    output.status.success().then(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_load_is_read_from_every_kind_of_uptime() {
        for (text, expected) in [
            (" 22:47  up  6:35,  0 user,  load average: 0.05, 1.08, 1.9", 0.05),
            ("22:47 up 3 days, 2 users, load averages: 2.45 1.98 1.75", 2.45),
            ("22:47 up 1 min, 1 user, load average: 3,10, 1,20, 0,50", 3.1),
        ] {
            assert_eq!(load_in(text), Some(expected), "{text}");
        }
        assert_eq!(load_in("no such thing"), None);
    }

    #[test]
    fn the_kernels_version_is_shown_without_additions() {
        for (text, expected) in [
            ("Linux 6.1.0-18-amd64", "Linux 6.1.0"),
            ("Linux 6.12.9+builder", "Linux 6.12.9"),
            ("Darwin 23.1.0", "Darwin 23.1.0"),
        ] {
            assert_eq!(plain(text), expected);
        }
    }

    #[test]
    fn a_machine_is_busy_if_more_than_one_process_waits() {
        let with = |load| Machine { load, ..Machine::now() };
        assert!(with(Some(1.01)).is_busy());
        assert!(!with(Some(1.0)).is_busy());
        assert!(!with(None).is_busy());
    }

    #[test]
    fn this_machine_is_described_without_a_path() {
        let facts = Machine::now().facts();
        assert!(facts[0].contains("processor"), "{facts:?}");
        assert!(facts.iter().all(|fact| !fact.contains("/")), "{facts:?}");
    }
}
