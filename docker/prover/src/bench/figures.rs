//! The figures: what is measured, against what, and the values that we aim for.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::{Bench, Measurement, build, disk, docker, programs, slides, wire};

/// A figure: something that is measured, and its reference.
#[derive(Debug)]
pub struct Figure {
    /// The name on the command line.
    pub name: &'static str,
    /// The figures among which it is drawn.
    pub group: Group,
    /// What is measured.
    pub what: &'static str,
    /// The unit of the figure and of the reference.
    pub unit: Unit,
    /// The reference.
    pub against: &'static str,
    /// The values that we aim for, each with the first step that it holds for. The
    /// last one that holds counts.
    pub aims: &'static [(u32, Aim)],
    /// What the figure means, in a sentence.
    pub read: &'static str,
    /// Measures the figure.
    pub run: fn(&mut Bench) -> Result<Measurement>,
}

/// What figures are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// The time of a call.
    Calls,
    /// Calls in a second.
    Rates,
    /// The program itself.
    Program,
    /// Volumes on a disk.
    Disk,
    /// A learner's builds and checks.
    Builds,
    /// Commands of a real Docker.
    Docker,
    /// The slides.
    Slides,
}

/// The unit of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unit {
    /// Wall-clock time.
    #[serde(rename = "seconds")]
    Seconds,
    /// Time of all processors.
    #[serde(rename = "CPU seconds")]
    CpuSeconds,
    /// Bytes of memory, of a file, or over the network.
    #[serde(rename = "bytes")]
    Bytes,
    /// Requests of a browser.
    #[serde(rename = "requests")]
    Requests,
    /// Requests that a plugin answers in a second. More is better; of all other
    /// units, less is better.
    #[serde(rename = "requests a second")]
    Rate,
}

/// The value that we aim for: at most this one, or at least this one if more is
/// better.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Aim {
    /// So many times the reference.
    Ratio(f64),
    /// A value in the figure's unit.
    Value(f64),
}

impl Figure {
    /// The value that we aim for in a step, if there is one. Without one, the figure
    /// should not grow.
    pub fn aim(&self, step: u32) -> Option<Aim> {
        let mut held = self.aims.iter().rev().filter(|(from, _)| *from <= step);
        held.next().map(|(_, aim)| *aim)
    }
}

impl Unit {
    /// Whether a larger figure is a better one.
    pub fn more_is_better(self) -> bool {
        self == Self::Rate
    }

    /// Formats an amount with three significant digits.
    pub(super) fn show(self, amount: f64) -> String {
        let (amount, unit) = match self {
            Self::Requests => return format!("{amount}"),
            Self::Rate => return format!("{} /s", thousands(amount)),
            Self::Bytes if amount < MIB => (amount / 1024.0, "KiB"),
            Self::Bytes => (amount / MIB, "MiB"),
            Self::CpuSeconds => (amount, "CPU s"),
            Self::Seconds if amount < 1e-3 => (amount * 1e6, "µs"),
            Self::Seconds if amount < 1.0 => (amount * 1e3, "ms"),
            Self::Seconds => (amount, "s"),
        };
        let digits = match amount {
            0.0..10.0 => 2,
            10.0..100.0 => 1,
            _ => 0,
        };
        format!("{amount:.digits$} {unit}")
    }

    /// Formats an aim without needless digits.
    pub(super) fn show_aim(self, most: f64) -> String {
        match self {
            Self::Bytes if most < MIB => format!("{} KiB", most / 1024.0),
            Self::Bytes => format!("{} MiB", most / MIB),
            Self::Requests => format!("{most}"),
            Self::Rate => format!("{} /s", thousands(most)),
            Self::CpuSeconds => format!("{most} CPU s"),
            Self::Seconds => format!("{most} s"),
        }
    }
}

impl Group {
    /// The title of its figures.
    pub fn title(self) -> &'static str {
        match self {
            Self::Calls => "Time of a call",
            Self::Rates => "Calls in a second",
            Self::Program => "The program itself",
            Self::Disk => "Volumes on a disk",
            Self::Builds => "A learner's builds and checks",
            Self::Docker => "With a real Docker",
            Self::Slides => "The slides",
        }
    }
}

/// All figures, in the order in which they are measured.
pub const FIGURES: &[Figure] = &[
    Figure {
        name: "activate",
        group: Group::Calls,
        what: "Activate, 1 connection",
        unit: Unit::Seconds,
        against: "a raw echo",
        aims: &[(0, Aim::Ratio(2.5))],
        read: "A ratio of 1 would mean that HTTP, the log line and the answer \
               cost nothing. Everything runs on one processor (Linux), because \
               waking a thread on another idle one takes ten times as long.",
        run: wire::activate,
    },
    Figure {
        name: "get",
        group: Group::Calls,
        what: "Get, 1 connection",
        unit: Unit::Seconds,
        against: "a raw echo",
        aims: &[(0, Aim::Ratio(2.5))],
        read: "The same with JSON in and out, and with reading the volume's \
               file. Docker makes this call for each volume of a new container.",
        run: wire::get,
    },
    Figure {
        name: "activate-1",
        group: Group::Calls,
        what: "Activate, p50",
        unit: Unit::Seconds,
        against: "a raw echo",
        aims: &[(9, Aim::Ratio(1.2))],
        read: "One connection again, but on all processors, as in real use. \
               Half of the calls are faster.",
        run: wire::activate_of_1,
    },
    Figure {
        name: "get-1",
        group: Group::Calls,
        what: "Get, p50",
        unit: Unit::Seconds,
        against: "the Go plugin",
        aims: &[(9, Aim::Ratio(0.5))],
        read: "The same driver on Go's net/http, in docker/prover/peer. It \
               must pass the same checks before it is measured.",
        run: wire::get_of_1,
    },
    Figure {
        name: "p99",
        group: Group::Calls,
        what: "Get, 8 connections, p99",
        unit: Unit::Seconds,
        against: "1 connection, p99",
        aims: &[],
        read: "A ratio of 8 would mean that each call waits for the seven \
               others. A higher one would mean that something delays all.",
        run: wire::p99,
    },
    Figure {
        name: "p99-8",
        group: Group::Calls,
        what: "Get, 8 connections, p99",
        unit: Unit::Seconds,
        against: "the Go plugin",
        aims: &[(0, Aim::Ratio(0.35)), (9, Aim::Ratio(0.2))],
        read: "The slowest call of a hundred, with 8 calls at a time.",
        run: wire::p99_of_8,
    },
    Figure {
        name: "p99-32",
        group: Group::Calls,
        what: "Get, 32 connections, p99",
        unit: Unit::Seconds,
        against: "the Go plugin",
        aims: &[(0, Aim::Ratio(0.35)), (9, Aim::Ratio(0.2))],
        read: "The same with more calls at a time than Docker ever makes.",
        run: wire::p99_of_32,
    },
    Figure {
        name: "activate-8",
        group: Group::Rates,
        what: "Activate/s, 8 at a time",
        unit: Unit::Rate,
        against: "the Go plugin",
        aims: &[(9, Aim::Ratio(1.5))],
        read: "Calls in a second, over all connections. The clients \
               share the processors with the plugin.",
        run: wire::rate_of_activate_8,
    },
    Figure {
        name: "activate-32",
        group: Group::Rates,
        what: "Activate/s, 32 at a time",
        unit: Unit::Rate,
        against: "the Go plugin",
        aims: &[(9, Aim::Ratio(1.5))],
        read: "The same over more connections than Docker ever opens.",
        run: wire::rate_of_activate_32,
    },
    Figure {
        name: "get-8",
        group: Group::Rates,
        what: "Get/s, 8 at a time",
        unit: Unit::Rate,
        against: "the Go plugin",
        aims: &[(9, Aim::Ratio(2.0))],
        read: "Each connection asks for a volume of its own.",
        run: wire::rate_of_get_8,
    },
    Figure {
        name: "get-32",
        group: Group::Rates,
        what: "Get/s, 32 at a time",
        unit: Unit::Rate,
        against: "the Go plugin",
        aims: &[(9, Aim::Ratio(2.0))],
        read: "The same over 32 connections.",
        run: wire::rate_of_get_32,
    },
    Figure {
        name: "start",
        group: Group::Program,
        what: "start to first Activate",
        unit: Unit::Seconds,
        against: "its --help",
        aims: &[],
        read: "The work of the plugin before it can answer. The reference is \
               the system's work to start any program.",
        run: wire::start,
    },
    Figure {
        name: "start-go",
        group: Group::Program,
        what: "start to first Activate",
        unit: Unit::Seconds,
        against: "the Go plugin",
        aims: &[(0, Aim::Ratio(0.4))],
        read: "Both programs are static, as in their images.",
        run: wire::start_against_peer,
    },
    Figure {
        name: "memory",
        group: Group::Program,
        what: "idle memory, static",
        unit: Unit::Bytes,
        against: "an idle sleep(1)",
        aims: &[(0, Aim::Value(2.0 * MIB))],
        read: "Resident pages after one call. sleep shares some of its pages \
               with other programs; a static program shares none.",
        run: wire::memory,
    },
    Figure {
        name: "memory-go",
        group: Group::Program,
        what: "idle memory, static",
        unit: Unit::Bytes,
        against: "the Go plugin",
        aims: &[],
        read: "The same, compared with the peer.",
        run: wire::memory_against_peer,
    },
    Figure {
        name: "image",
        group: Group::Program,
        what: "image FROM scratch",
        unit: Unit::Bytes,
        against: "the Go plugin",
        aims: &[(0, Aim::Ratio(0.35)), (9, Aim::Ratio(0.33))],
        read: "The only file in the image, built with the flags of \
               docker/plugin.Dockerfile. The Go program has no symbols.",
        run: programs::image,
    },
    Figure {
        name: "durable",
        group: Group::Disk,
        what: "durable Create",
        unit: Unit::Seconds,
        against: "one fdatasync",
        aims: &[(0, Aim::Ratio(3.0))],
        read: "The reference writes a new file of 64 bytes to the same folder. \
               Both depend on the disk of cargo's target folder.",
        run: disk::durable,
    },
    Figure {
        name: "create-many",
        group: Group::Disk,
        what: "Create, 100,000 volumes",
        unit: Unit::Seconds,
        against: "10 volumes",
        aims: &[(0, Aim::Ratio(1.3))],
        read: "Creating one more volume: the cost must not grow with the \
               number of existing volumes.",
        run: disk::create,
    },
    Figure {
        name: "get-many",
        group: Group::Disk,
        what: "Get, 100,000 volumes",
        unit: Unit::Seconds,
        against: "10 volumes",
        aims: &[(0, Aim::Ratio(1.3))],
        read: "Get of volumes that are far apart in the list.",
        run: disk::get,
    },
    Figure {
        name: "mount-many",
        group: Group::Disk,
        what: "Mount, 100,000 volumes",
        unit: Unit::Seconds,
        against: "10 volumes",
        aims: &[(0, Aim::Ratio(1.3))],
        read: "The same for Mount, with type=dir.",
        run: disk::mount,
    },
    Figure {
        name: "remove-many",
        group: Group::Disk,
        what: "Remove, 100,000 volumes",
        unit: Unit::Seconds,
        against: "10 volumes",
        aims: &[(0, Aim::Ratio(1.3))],
        read: "Removing an empty volume.",
        run: disk::remove,
    },
    Figure {
        name: "start-many",
        group: Group::Disk,
        what: "start, 100,000 volumes",
        unit: Unit::Seconds,
        against: "10 volumes",
        aims: &[],
        read: "Up to the first answer. The plugin reads the names, but no \
               volume's file.",
        run: disk::start,
    },
    Figure {
        name: "list-many",
        group: Group::Disk,
        what: "List a volume of 100,000",
        unit: Unit::Seconds,
        against: "of 1,000",
        aims: &[],
        read: "List is linear, but a hundred times as many names no longer fit \
               into the processor's caches.",
        run: disk::list,
    },
    Figure {
        name: "ext4",
        group: Group::Disk,
        what: "64 MiB of ext4, mounted",
        unit: Unit::Seconds,
        against: "mkfs and mount",
        aims: &[(0, Aim::Value(0.03))],
        read: "Create with type=ext4 and the first Mount. The reference is the \
               same by hand, with the default options of mkfs.ext4.",
        run: disk::ext4,
    },
    Figure {
        name: "ext4-bytes",
        group: Group::Disk,
        what: "64 MiB of ext4, on disk",
        unit: Unit::Bytes,
        against: "mkfs and mount",
        aims: &[(0, Aim::Value(400.0 * 1024.0))],
        read: "How much of the disk an empty volume takes.",
        run: disk::ext4_bytes,
    },
    Figure {
        name: "cold",
        group: Group::Builds,
        what: "first build",
        unit: Unit::CpuSeconds,
        against: "tiny_http alone",
        aims: &[(0, Aim::Value(14.0))],
        read: "A learner's first build: checker and exercise 1. The ratio \
               separates a slower machine from a larger build.",
        run: build::cold,
    },
    Figure {
        name: "edit",
        group: Group::Builds,
        what: "edit to binary",
        unit: Unit::Seconds,
        against: "an idle cargo build",
        aims: &[],
        read: "One changed line in exercise 1. It cannot take less than an \
               idle build, in which cargo only looks for changes.",
        run: build::edit,
    },
    Figure {
        name: "verdict",
        group: Group::Builds,
        what: "edit to verdict",
        unit: Unit::Seconds,
        against: "an idle cargo build",
        aims: &[(0, Aim::Value(0.3))],
        read: "From the save to the end of make check-exercise-1, in which all \
               checks pass.",
        run: build::verdict,
    },
    Figure {
        name: "check",
        group: Group::Builds,
        what: "check, nothing changed",
        unit: Unit::Seconds,
        against: "an idle cargo build",
        aims: &[(0, Aim::Value(0.1))],
        read: "Two idle builds (of the checker, of the exercise) and the \
               checks themselves.",
        run: build::check,
    },
    Figure {
        name: "docker-create",
        group: Group::Docker,
        what: "docker volume create",
        unit: Unit::Seconds,
        against: "driver local",
        aims: &[],
        read: "In turns, with a private dockerd. Most of the time is the \
               docker client's.",
        run: docker::create,
    },
    Figure {
        name: "docker-run",
        group: Group::Docker,
        what: "docker run --rm -v v:/d",
        unit: Unit::Seconds,
        against: "driver local",
        aims: &[],
        read: "The whole life of a container, with two calls. A user should \
               not notice which driver the volume has.",
        run: docker::run,
    },
    Figure {
        name: "dockerd-create",
        group: Group::Docker,
        what: "dockerd's create",
        unit: Unit::Seconds,
        against: "driver local",
        aims: &[],
        read: "The same create over dockerd's own socket, without a docker \
               client. A volume of local is not durable.",
        run: docker::bare_create,
    },
    Figure {
        name: "dockerd-create-go",
        group: Group::Docker,
        what: "dockerd's create",
        unit: Unit::Seconds,
        against: "the Go plugin",
        aims: &[(0, Aim::Ratio(1.0))],
        read: "In the same turns. Both drivers wait for the disk equally often.",
        run: docker::bare_create_against_peer,
    },
    Figure {
        name: "sandbox-first",
        group: Group::Docker,
        what: "first start of a sandbox",
        unit: Unit::Seconds,
        against: "a bare container",
        aims: &[],
        read: "With an existing image: a container, dockerd, the test image, \
               and one command.",
        run: docker::first,
    },
    Figure {
        name: "sandbox-warm",
        group: Group::Docker,
        what: "a command in the sandbox",
        unit: Unit::Seconds,
        against: "a bare container",
        aims: &[],
        read: "The extra time of each make target on a machine without Rust.",
        run: docker::warm,
    },
    Figure {
        name: "sandbox-restart",
        group: Group::Docker,
        what: "restart of its dockerd",
        unit: Unit::Seconds,
        against: "a bare container",
        aims: &[],
        read: "Without volumes of a dead plugin, each of which would cost 15 s.",
        run: docker::restart,
    },
    Figure {
        name: "slides",
        group: Group::Slides,
        what: "make slides, first slide",
        unit: Unit::Seconds,
        against: "plain reveal.js",
        aims: &[],
        read: "From the command, with a finished build, until a browser shows \
               the deck. Plain reveal.js shows the same chapters with its own \
               Markdown plugin; the start of its server is not measured.",
        run: slides::first,
    },
    Figure {
        name: "slides-requests",
        group: Group::Slides,
        what: "requests to the deck",
        unit: Unit::Requests,
        against: "plain reveal.js",
        aims: &[(0, Aim::Value(20.0))],
        read: "Each request has to succeed in a room with a busy network.",
        run: slides::requests,
    },
    Figure {
        name: "slides-bytes",
        group: Group::Slides,
        what: "bytes to the deck",
        unit: Unit::Bytes,
        against: "plain reveal.js",
        aims: &[(0, Aim::Value(440.0 * 1024.0))],
        read: "Bodies, not compressed. The slides are HTML, and the browser \
               loads the syntax colours of only two languages.",
        run: slides::bytes,
    },
    Figure {
        name: "pdf",
        group: Group::Slides,
        what: "make slides-pdf",
        unit: Unit::Seconds,
        against: "plain reveal.js",
        aims: &[],
        read: "From the command to the file. Plain reveal.js uses ?print-pdf.",
        run: slides::pdf,
    },
    Figure {
        name: "pdf-bytes",
        group: Group::Slides,
        what: "slides.pdf",
        unit: Unit::Bytes,
        against: "plain reveal.js",
        aims: &[],
        read: "Our file has each slide once, tags, and an outline.",
        run: slides::pdf_bytes,
    },
];

const MIB: f64 = 1024.0 * 1024.0;

/// A number in groups of three digits: `58,600`.
fn thousands(amount: f64) -> String {
    let digits = format!("{amount:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_names_of_their_own_and_rows_that_fit() {
        for (index, figure) in FIGURES.iter().enumerate() {
            let Figure { name, what, against, .. } = figure;
            let earlier = &FIGURES[..index];
            assert!(
                earlier.iter().all(|figure| figure.name != *name),
                "{name}"
            );
            assert!(what.chars().count() <= 24, "{name}");
            assert!(against.chars().count() <= 19, "{name}");
        }
    }

    #[test]
    fn figures_of_a_group_follow_each_other() {
        let mut groups: Vec<_> = FIGURES.iter().map(|it| it.group).collect();
        groups.dedup();
        for (at, group) in groups.iter().enumerate() {
            assert!(!groups[..at].contains(group), "{group:?} comes twice");
        }
    }

    #[test]
    fn the_aim_of_a_step_is_the_last_one_that_holds() {
        let aims = |name: &str, step| {
            let figure = FIGURES.iter().find(|it| it.name == name).unwrap();
            figure.aim(step)
        };
        assert_eq!(aims("p99-8", 8), Some(Aim::Ratio(0.35)));
        assert_eq!(aims("p99-8", 9), Some(Aim::Ratio(0.2)));
        assert_eq!(aims("p99-8", 10), Some(Aim::Ratio(0.2)));
        assert_eq!(aims("get-8", 8), None);
        for figure in FIGURES {
            let steps = figure.aims.iter().map(|(from, _)| from);
            assert!(steps.is_sorted(), "{}", figure.name);
        }
    }

    #[test]
    fn amounts_read_as_people_write_them() {
        let cases = [
            (Unit::Seconds, 14.96e-6, "15.0 µs"),
            (Unit::Seconds, 0.00123, "1.23 ms"),
            (Unit::Seconds, 0.3, "300 ms"),
            (Unit::Seconds, 2.5, "2.50 s"),
            (Unit::CpuSeconds, 12.84, "12.8 CPU s"),
            (Unit::Bytes, 3.5 * MIB, "3.50 MiB"),
            (Unit::Bytes, 0.25 * MIB, "256 KiB"),
            (Unit::Requests, 18.0, "18"),
            (Unit::Rate, 58_600.4, "58,600 /s"),
            (Unit::Rate, 860.0, "860 /s"),
            (Unit::Rate, 1_234_567.0, "1,234,567 /s"),
        ];
        for (unit, amount, expected) in cases {
            assert_eq!(unit.show(amount), expected);
        }
    }
}
