//! `make bench`: measures figures, each as a ratio to a reference.
//!
//! Seconds on one machine say little about another machine, or about the same one
//! an hour later. So each figure is compared with a reference that the same run
//! measures in turns with it. A figure neither passes nor fails.
//!
//! A figure is a row in [`FIGURES`] and a function: [`wire`] measures calls,
//! [`disk`] volumes on a disk, [`docker`] commands of a real Docker, [`build`]
//! builds, and [`slides`] the deck. [`programs`] builds the measured plugin and its
//! peer in Go.

mod build;
mod disk;
pub mod docker;
mod programs;
mod slides;
mod wire;

use std::fmt::{self, Display};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;

use anstyle::Style;
use anyhow::{Context, Result, bail, ensure};
use build::Workspace;
use checker::cargo;
use serde_json::{Value, json};
use stand_in::cleanup::Guard;
use stand_in::plugin::Program;
use stand_in::report::LABEL;
use stand_in::steps::{Kind, Step};

/// A figure: something that is measured, and its reference.
#[derive(Debug)]
pub struct Figure {
    /// The name on the command line.
    pub name: &'static str,
    /// What is measured.
    pub what: &'static str,
    /// The unit of the figure and of the reference.
    pub unit: Unit,
    /// The reference.
    pub against: &'static str,
    /// The value that we aim for.
    pub aim: Aim,
    /// What the figure means, in a sentence.
    pub read: &'static str,
    /// Measures the figure.
    pub run: fn(&mut Bench) -> Result<Measurement>,
}

/// The unit of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Wall-clock time.
    Seconds,
    /// Time of all processors.
    CpuSeconds,
    /// Bytes of memory, of a file, or over the network.
    Bytes,
    /// Requests of a browser.
    Requests,
}

/// The value that we aim for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Aim {
    /// At most this many times the reference.
    Ratio(f64),
    /// At most this value, in the figure's unit.
    Value(f64),
    /// No number, but the figure should not grow.
    None,
}

/// A figure and its reference, in the figure's unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    value: f64,
    reference: f64,
}

/// The result of a measurement.
#[derive(Clone, Debug, PartialEq)]
pub enum Measurement {
    /// The numbers.
    Pair(Pair),
    /// Why this machine cannot measure the figure.
    Skipped(String),
}

/// All figures, in the order in which they are measured.
pub const FIGURES: &[Figure] = &[
    Figure {
        name: "activate",
        what: "Activate, 1 connection",
        unit: Unit::Seconds,
        against: "a raw echo",
        aim: Aim::Ratio(2.5),
        read: "A ratio of 1 would mean that HTTP, the log line and the answer \
               cost nothing. Everything runs on one processor (Linux), because \
               waking a thread on another idle one takes ten times as long.",
        run: wire::activate,
    },
    Figure {
        name: "get",
        what: "Get, 1 connection",
        unit: Unit::Seconds,
        against: "a raw echo",
        aim: Aim::Ratio(2.5),
        read: "The same with JSON in and out, and with reading the volume's \
               file. Docker makes this call for each volume of a new container.",
        run: wire::get,
    },
    Figure {
        name: "get-go",
        what: "Get by the Go plugin",
        unit: Unit::Seconds,
        against: "a raw echo",
        aim: Aim::None,
        read: "The same driver on Go's net/http, in docker/prover/peer. It \
               must pass the same checks before it is measured.",
        run: wire::get_by_peer,
    },
    Figure {
        name: "p99",
        what: "Get, 8 connections, p99",
        unit: Unit::Seconds,
        against: "1 connection, p99",
        aim: Aim::None,
        read: "A ratio of 8 would mean that each call waits for the seven \
               others. A higher one would mean that something delays all.",
        run: wire::p99,
    },
    Figure {
        name: "p99-8",
        what: "Get, 8 connections, p99",
        unit: Unit::Seconds,
        against: "the Go plugin",
        aim: Aim::Ratio(0.35),
        read: "The slowest call of a hundred, with 8 calls at a time.",
        run: wire::p99_of_8,
    },
    Figure {
        name: "p99-32",
        what: "Get, 32 connections, p99",
        unit: Unit::Seconds,
        against: "the Go plugin",
        aim: Aim::Ratio(0.35),
        read: "The same with more calls at a time than Docker ever makes.",
        run: wire::p99_of_32,
    },
    Figure {
        name: "start",
        what: "start to first Activate",
        unit: Unit::Seconds,
        against: "its --help",
        aim: Aim::None,
        read: "The work of the plugin before it can answer. The reference is \
               the system's work to start any program.",
        run: wire::start,
    },
    Figure {
        name: "start-go",
        what: "start to first Activate",
        unit: Unit::Seconds,
        against: "the Go plugin",
        aim: Aim::Ratio(0.4),
        read: "Both programs are static, as in their images.",
        run: wire::start_against_peer,
    },
    Figure {
        name: "memory",
        what: "idle memory, static",
        unit: Unit::Bytes,
        against: "an idle sleep(1)",
        aim: Aim::Value(2.0 * MIB),
        read: "Resident pages after one call. sleep shares some of its pages \
               with other programs; a static program shares none.",
        run: wire::memory,
    },
    Figure {
        name: "memory-go",
        what: "idle memory, static",
        unit: Unit::Bytes,
        against: "the Go plugin",
        aim: Aim::None,
        read: "The same, compared with the peer.",
        run: wire::memory_against_peer,
    },
    Figure {
        name: "image",
        what: "image FROM scratch",
        unit: Unit::Bytes,
        against: "the Go plugin",
        aim: Aim::Ratio(0.35),
        read: "The only file in the image, built with the flags of \
               docker/plugin.Dockerfile. The Go program has no symbols.",
        run: programs::image,
    },
    Figure {
        name: "durable",
        what: "durable Create",
        unit: Unit::Seconds,
        against: "one fdatasync",
        aim: Aim::Ratio(3.0),
        read: "The reference writes a new file of 64 bytes to the same folder. \
               Both depend on the disk of cargo's target folder.",
        run: disk::durable,
    },
    Figure {
        name: "create-many",
        what: "Create, 100,000 volumes",
        unit: Unit::Seconds,
        against: "10 volumes",
        aim: Aim::Ratio(1.3),
        read: "Creating one more volume: the cost must not grow with the \
               number of existing volumes.",
        run: disk::create,
    },
    Figure {
        name: "get-many",
        what: "Get, 100,000 volumes",
        unit: Unit::Seconds,
        against: "10 volumes",
        aim: Aim::Ratio(1.3),
        read: "Get of volumes that are far apart in the list.",
        run: disk::get,
    },
    Figure {
        name: "mount-many",
        what: "Mount, 100,000 volumes",
        unit: Unit::Seconds,
        against: "10 volumes",
        aim: Aim::Ratio(1.3),
        read: "The same for Mount, with type=dir.",
        run: disk::mount,
    },
    Figure {
        name: "remove-many",
        what: "Remove, 100,000 volumes",
        unit: Unit::Seconds,
        against: "10 volumes",
        aim: Aim::Ratio(1.3),
        read: "Removing an empty volume.",
        run: disk::remove,
    },
    Figure {
        name: "start-many",
        what: "start, 100,000 volumes",
        unit: Unit::Seconds,
        against: "10 volumes",
        aim: Aim::None,
        read: "Up to the first answer. The plugin reads the names, but no \
               volume's file.",
        run: disk::start,
    },
    Figure {
        name: "list-many",
        what: "List a volume of 100,000",
        unit: Unit::Seconds,
        against: "of 1,000",
        aim: Aim::None,
        read: "List is linear, but a hundred times as many names no longer fit \
               into the processor's caches.",
        run: disk::list,
    },
    Figure {
        name: "ext4",
        what: "64 MiB of ext4, mounted",
        unit: Unit::Seconds,
        against: "mkfs and mount",
        aim: Aim::Value(0.03),
        read: "Create with type=ext4 and the first Mount. The reference is the \
               same by hand, with the default options of mkfs.ext4.",
        run: disk::ext4,
    },
    Figure {
        name: "ext4-bytes",
        what: "64 MiB of ext4, on disk",
        unit: Unit::Bytes,
        against: "mkfs and mount",
        aim: Aim::Value(400.0 * 1024.0),
        read: "How much of the disk an empty volume takes.",
        run: disk::ext4_bytes,
    },
    Figure {
        name: "cold",
        what: "first build",
        unit: Unit::CpuSeconds,
        against: "tiny_http alone",
        aim: Aim::Value(14.0),
        read: "A learner's first build: checker and exercise 1. The ratio \
               separates a slower machine from a larger build.",
        run: build::cold,
    },
    Figure {
        name: "edit",
        what: "edit to binary",
        unit: Unit::Seconds,
        against: "an idle cargo build",
        aim: Aim::None,
        read: "One changed line in exercise 1. It cannot take less than an \
               idle build, in which cargo only looks for changes.",
        run: build::edit,
    },
    Figure {
        name: "verdict",
        what: "edit to verdict",
        unit: Unit::Seconds,
        against: "an idle cargo build",
        aim: Aim::Value(0.3),
        read: "From the save to the end of make check-exercise-1, in which all \
               checks pass.",
        run: build::verdict,
    },
    Figure {
        name: "check",
        what: "check, nothing changed",
        unit: Unit::Seconds,
        against: "an idle cargo build",
        aim: Aim::Value(0.1),
        read: "Two idle builds (of the checker, of the exercise) and the \
               checks themselves.",
        run: build::check,
    },
    Figure {
        name: "docker-create",
        what: "docker volume create",
        unit: Unit::Seconds,
        against: "driver local",
        aim: Aim::None,
        read: "In turns, with a private dockerd. Most of the time is the \
               docker client's.",
        run: docker::create,
    },
    Figure {
        name: "docker-run",
        what: "docker run --rm -v v:/d",
        unit: Unit::Seconds,
        against: "driver local",
        aim: Aim::None,
        read: "The whole life of a container, with two calls. A user should \
               not notice which driver the volume has.",
        run: docker::run,
    },
    Figure {
        name: "dockerd-create",
        what: "dockerd's create",
        unit: Unit::Seconds,
        against: "driver local",
        aim: Aim::None,
        read: "The same create over dockerd's own socket, without a docker \
               client. A volume of local is not durable.",
        run: docker::bare_create,
    },
    Figure {
        name: "dockerd-create-go",
        what: "dockerd's create",
        unit: Unit::Seconds,
        against: "the Go plugin",
        aim: Aim::Ratio(1.0),
        read: "In the same turns. Both drivers wait for the disk equally often.",
        run: docker::bare_create_against_peer,
    },
    Figure {
        name: "sandbox-first",
        what: "first start of a sandbox",
        unit: Unit::Seconds,
        against: "a bare container",
        aim: Aim::None,
        read: "With an existing image: a container, dockerd, the test image, \
               and one command.",
        run: docker::first,
    },
    Figure {
        name: "sandbox-warm",
        what: "a command in the sandbox",
        unit: Unit::Seconds,
        against: "a bare container",
        aim: Aim::None,
        read: "The extra time of each make target on a machine without Rust.",
        run: docker::warm,
    },
    Figure {
        name: "sandbox-restart",
        what: "restart of its dockerd",
        unit: Unit::Seconds,
        against: "a bare container",
        aim: Aim::None,
        read: "Without volumes of a dead plugin, each of which would cost 15 s.",
        run: docker::restart,
    },
    Figure {
        name: "slides",
        what: "make slides, first slide",
        unit: Unit::Seconds,
        against: "plain reveal.js",
        aim: Aim::None,
        read: "From the command, with a finished build, until a browser shows \
               the deck. Plain reveal.js shows the same chapters with its own \
               Markdown plugin; the start of its server is not measured.",
        run: slides::first,
    },
    Figure {
        name: "slides-requests",
        what: "requests to the deck",
        unit: Unit::Requests,
        against: "plain reveal.js",
        aim: Aim::Value(20.0),
        read: "Each request has to succeed in a room with a busy network.",
        run: slides::requests,
    },
    Figure {
        name: "slides-bytes",
        what: "bytes to the deck",
        unit: Unit::Bytes,
        against: "plain reveal.js",
        aim: Aim::Value(440.0 * 1024.0),
        read: "Bodies, not compressed. The slides are HTML, and the browser \
               loads the syntax colours of only two languages.",
        run: slides::bytes,
    },
    Figure {
        name: "pdf",
        what: "make slides-pdf",
        unit: Unit::Seconds,
        against: "plain reveal.js",
        aim: Aim::None,
        read: "From the command to the file. Plain reveal.js uses ?print-pdf.",
        run: slides::pdf,
    },
    Figure {
        name: "pdf-bytes",
        what: "slides.pdf",
        unit: Unit::Bytes,
        against: "plain reveal.js",
        aim: Aim::None,
        read: "Our file has each slide once, tags, and an outline.",
        run: slides::pdf_bytes,
    },
];

const MIB: f64 = 1024.0 * 1024.0;

/// Everything that figures share, made when the first figure needs it.
pub struct Bench {
    root: PathBuf,
    step: Step,
    solution: Option<Program>,
    image: Option<programs::Built>,
    peer: Option<programs::Built>,
    roots: Option<Result<disk::Roots, String>>,
    filesystem: Option<disk::Filesystem>,
    workspace: Option<Workspace>,
    slides: Option<slides::Measured>,
    docker: Option<docker::Times>,
    sandbox: Option<docker::Sandbox>,
}

/// The figures called `names`, or all figures if `names` is empty.
///
/// # Errors
/// When no figure has such a name: the error lists the names.
pub fn choose(names: &[&str]) -> Result<Vec<&'static Figure>> {
    let unknown =
        |name: &&&str| FIGURES.iter().all(|figure| figure.name != **name);
    if let Some(unknown) = names.iter().find(unknown) {
        let all: Vec<_> = FIGURES.iter().map(|figure| figure.name).collect();
        bail!("no figure is called {unknown}; there are {}", all.join(", "));
    }
    let chosen =
        |figure: &&Figure| names.is_empty() || names.contains(&figure.name);
    Ok(FIGURES.iter().filter(chosen).collect())
}

/// One line about the properties of this machine that affect the figures.
pub fn machine(step: &Step) -> String {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let disk = disk::kind().unwrap_or_else(|| "unknown".to_owned());
    format!(
        "solution {}; {processors} processors, the disk's filesystem: {disk}",
        step.number
    )
}

/// Measures figures of a step's solution, and calls `seen` with each result.
///
/// # Errors
/// When a figure cannot be measured.
pub fn run(
    root: &Path,
    step: Step,
    figures: &[&'static Figure],
    mut seen: impl FnMut(&'static Figure, Measurement),
) -> Result<()> {
    let root = root.to_owned();
    let mut bench = Bench {
        root,
        step,
        solution: None,
        image: None,
        peer: None,
        roots: None,
        filesystem: None,
        workspace: None,
        slides: None,
        docker: None,
        sandbox: None,
    };
    for figure in figures {
        let outcome = (figure.run)(&mut bench)
            .with_context(|| format!("measuring {}", figure.name))?;
        seen(figure, outcome);
    }
    Ok(())
}

impl Bench {
    /// The measured solution, as a release build in cargo's target folder.
    fn solution(&mut self) -> Result<Program> {
        if let Some(known) = &self.solution {
            return Ok(known.clone());
        }
        let package = self.step.package(Kind::Solution);
        let target = cargo::target()?;
        say(&format!("building {package} for release"));
        let mut cargo = Command::new("cargo");
        cargo
            .args(["build", "--quiet", "--release", "--package", &package])
            .arg("--target-dir")
            .arg(&target)
            .current_dir(&self.root);
        finish(&mut cargo)?;
        let program = Program::new(&target.join("release").join(package))?;
        Ok(self.solution.insert(program).clone())
    }

    /// A copy of the project, built once.
    fn workspace(&mut self) -> Result<&mut Workspace> {
        if self.workspace.is_none() {
            // This fetches the crates that the measured build needs.
            self.solution()?;
            self.workspace = Some(Workspace::build(&self.root)?);
        }
        self.workspace.as_mut().context("the workspace was made one line above")
    }
}

/// Prints the progress to the standard error.
fn say(text: &str) {
    anstream::eprintln!("bench: {text} …");
}

/// Runs a command that must succeed, and returns its output. The command and its
/// children end with this process.
fn finish(command: &mut Command) -> Result<Output> {
    command
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let (child, group) = Guard::polite_group(|| command.spawn())
        .with_context(|| format!("starting {command:?}"))?;
    let output = child.wait_with_output()?;
    group.release();
    ensure!(
        output.status.success(),
        "{command:?} ended ({}): {}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    Ok(output)
}

/// The median, which a single outlier does not change.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

impl Pair {
    /// The medians of two series that were measured in turns.
    fn medians(values: Vec<f64>, references: Vec<f64>) -> Self {
        Self { value: median(values), reference: median(references) }
    }
}

impl Unit {
    /// Formats an amount with three significant digits.
    fn show(self, amount: f64) -> String {
        let (amount, unit) = match self {
            Self::Requests => return format!("{amount}"),
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
    fn show_aim(self, most: f64) -> String {
        match self {
            Self::Bytes if most < MIB => format!("{} KiB", most / 1024.0),
            Self::Bytes => format!("{} MiB", most / MIB),
            Self::Requests => format!("{most}"),
            Self::CpuSeconds => format!("{most} CPU s"),
            Self::Seconds => format!("{most} s"),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::CpuSeconds => "CPU seconds",
            Self::Bytes => "bytes",
            Self::Requests => "requests",
        }
    }
}

/// The header of the table.
pub fn header() -> impl Display {
    Row(["what", "seen", "ratio to", "aim"].map(str::to_owned), LABEL)
}

/// One figure as a row of the table, with its meaning below.
pub fn row(figure: &Figure, seen: &Measurement) -> impl Display {
    let aim = match figure.aim {
        Aim::Ratio(most) => format!("ratio <= {most}"),
        Aim::Value(most) => format!("<= {}", figure.unit.show_aim(most)),
        Aim::None => "-".to_owned(),
    };
    let (value, ratio) = match seen {
        Measurement::Pair(Pair { value, reference }) => {
            let show = |amount: f64| figure.unit.show(amount);
            let ratio = value / reference;
            let beside = show(*reference);
            let against = figure.against;
            (show(*value), format!("{ratio:.2} x {against} ({beside})"))
        }
        Measurement::Skipped(why) => ("skipped".to_owned(), why.clone()),
    };
    let row = Row([figure.what.to_owned(), value, ratio, aim], Style::new());
    format!("{row}\n{}", wrapped(figure.read))
}

struct Row([String; 4], Style);

impl Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self([what, seen, ratio, aim], style) = self;
        write!(f, "{style}{what:<24} {seen:<10} {ratio:<37} {aim}{style:#}")
    }
}

/// Wraps the text below a row, indented, at 78 columns.
fn wrapped(text: &str) -> String {
    const WIDTH: usize = 78;
    const INDENT: &str = "   ";
    let mut lines = vec![INDENT.to_owned()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is always one");
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(format!("{INDENT} {word}"));
        } else {
            line.push(' ');
            line.push_str(word);
        }
    }
    lines.join("\n")
}

/// One figure as JSON.
pub fn to_json(figure: &Figure, seen: &Measurement) -> Value {
    let mut value = json!({
        "name": figure.name,
        "what": figure.what,
        "unit": figure.unit.word(),
        "against": figure.against,
        "read": figure.read,
    });
    match figure.aim {
        Aim::Ratio(most) => value["aim"] = json!({ "ratio": most }),
        Aim::Value(most) => value["aim"] = json!({ "value": most }),
        Aim::None => {}
    }
    match seen {
        Measurement::Pair(pair) => {
            value["value"] = json!(pair.value);
            value["reference"] = json!(pair.reference);
            value["ratio"] = json!(pair.value / pair.reference);
        }
        Measurement::Skipped(why) => value["skipped"] = json!(why),
    }
    value
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
    fn figures_are_chosen_by_name_and_an_unknown_one_is_refused() {
        let chosen =
            |names: &[&str]| choose(names).map(|figures| figures.len()).ok();
        assert_eq!(chosen(&[]), Some(FIGURES.len()));
        assert_eq!(chosen(&["start", "get"]), Some(2));
        let refusal = choose(&["get", "gte"]).unwrap_err().to_string();
        let expected = "no figure is called gte; there are activate, get";
        assert!(refusal.starts_with(expected), "{refusal}");
    }

    #[test]
    fn a_row_says_what_was_seen_beside_what_and_the_aim() {
        let pair = Pair { value: 31.2e-6, reference: 15.1e-6 };
        let text = row(&FIGURES[0], &Measurement::Pair(pair)).to_string();
        assert_eq!(
            text.lines().next(),
            Some(
                "Activate, 1 connection   31.2 µs    \
                 2.07 x a raw echo (15.1 µs)           ratio <= 2.5"
            )
        );
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        let json = to_json(&FIGURES[0], &Measurement::Pair(pair));
        assert_eq!(json["aim"]["ratio"], 2.5);
        assert_eq!(json["value"], 31.2e-6);
    }

    #[test]
    fn what_cannot_be_measured_here_says_why() {
        let seen = Measurement::Skipped("only Linux tells".to_owned());
        let text = row(&FIGURES[4], &seen).to_string();
        assert!(text.contains("skipped    only Linux tells"), "{text}");
        assert_eq!(to_json(&FIGURES[4], &seen)["skipped"], "only Linux tells");
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
        ];
        for (unit, amount, expected) in cases {
            assert_eq!(unit.show(amount), expected);
        }
    }

    #[test]
    fn one_outlier_does_not_change_the_median() {
        assert_eq!(median(vec![3.0, 900.0, 1.0, 2.0, 2.5]), 2.5);
    }
}
