//! Kills the plugin and a real dockerd with `kill -9` while containers run.

use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use checker::dockerd::{self, PATIENCE, Private};
use checker::places::{NAME, PLUGINS};
use checker::stories::no_path_leads_out;
use stand_in::finding::{Fault, Outcome, wrong};
use stand_in::mounts;
use stand_in::plugin::{Place, Plugin, Program};
use stand_in::wait::wait_until;

use super::{Need, Proof, Subject};

pub(super) const PROOFS: &[Proof] = &[
    Proof {
        name: "kill",
        what: "kill -9 of plugin and dockerd, with containers, type=dir",
        from: 6,
        needs: &[Need::Dockerd],
        run: |subject| in_private(subject, "dir"),
    },
    Proof {
        name: "kill",
        what: "kill -9 of plugin and dockerd, with containers, type=ext4",
        from: 8,
        needs: &[
            Need::Dockerd,
            Need::Loops,
            Need::Program("mkfs.ext4", "e2fsprogs"),
        ],
        run: |subject| in_private(subject, "ext4"),
    },
];

/// The command of this program that calls [`inside`].
pub const COMMAND: &str = "prove-dockerd";

fn in_private(subject: &Subject, kind: &str) -> Result<String, Fault> {
    let rounds = subject.choose(3, 20);
    let program = subject.program.path().display().to_string();
    let (count, seed) = (rounds.to_string(), subject.seed.to_string());
    let words = [COMMAND, &program, kind, &count, &seed];
    let status = dockerd::in_private("prover", &words)?;
    match status.code() {
        Some(0) => Ok(format!("{rounds} of {rounds} rounds")),
        Some(1) => {
            let sent = format!("{rounds} rounds with a private dockerd");
            Err(wrong(
                sent,
                "volumes and containers are as before",
                "see above",
            ))
        }
        _ => Err(anyhow::anyhow!(
            "the rounds with a private dockerd ended ({status})"
        )
        .into()),
    }
}

/// Runs the rounds beside a private dockerd. Returns whether the plugin was right.
///
/// # Errors
/// When dockerd does not start, or there is no image for containers.
pub fn inside(words: &[&str]) -> Result<bool> {
    let [program, kind, rounds, seed] = words else {
        bail!("usage: {COMMAND} PROGRAM TYPE ROUNDS SEED");
    };
    let private = Private::start()?
        .context("this command runs only beside a private dockerd")?;
    let place =
        Place::with_socket(Path::new(PLUGINS).join(format!("{NAME}.sock")))?;
    let program = Program::new(Path::new(program))?;
    dockerd::bring_image()?;
    let options = match *kind {
        "dir" => "-o type=dir".to_owned(),
        kind => format!("-o type={kind} -o size=8m"),
    };
    let random = fastrand::Rng::with_seed(seed.parse()?);
    let mut stage = Stage { private, program, place, plugin: None, random };
    match stage.play(&options, rounds.parse()?) {
        Ok(()) => Ok(true),
        Err(Fault::Wrong(finding)) => {
            for (label, text) in [
                ("typed", finding.sent),
                ("expected", finding.expected),
                ("got", finding.got),
            ] {
                println!("        {label:<9} {text}");
            }
            let log =
                stage.plugin.as_ref().map(|plugin| plugin.log().last_lines(5));
            for line in log.into_iter().flatten() {
                println!("        log       | {line}");
            }
            Ok(false)
        }
        Err(Fault::NotTried(why)) => bail!("{why}"),
        Err(Fault::Trouble(err)) => Err(err),
    }
}

struct Stage {
    private: Private,
    program: Program,
    place: Place,
    plugin: Option<Plugin>,
    random: fastrand::Rng,
}

impl Stage {
    fn play(&mut self, options: &str, rounds: u32) -> Outcome {
        self.start()?;
        let create = format!("docker volume create -d {NAME} {options}");
        for volume in ["busy", "idle"] {
            self.types(&format!("{create} {volume}"), &[volume])?;
        }
        self.types(
            "docker run -d --restart always --stop-signal KILL --name one \
             -v busy:/data busybox sh -c \
             'echo start >> /data/starts; while sleep 0.05; do \
              date >> /data/times; done'",
            &[],
        )?;
        self.types(
            "docker run --rm -v idle:/data busybox \
             sh -c 'echo kept > /data/f && sync'",
            &[],
        )?;
        for round in 0..rounds {
            let volume = format!("round-{round}");
            self.types(&format!("{create} {volume}"), &[&volume])?;
            self.crash()?;
            self.look(&volume)?;
            self.types(&format!("docker volume rm {volume}"), &[&volume])?;
        }
        self.types("docker rm -f one", &["one"])?;
        self.types("docker volume rm busy idle", &["busy", "idle"])?;
        self.nothing_is_left()
    }

    /// Kills plugin, dockerd or both in random order at random moments, and starts
    /// them again.
    fn crash(&mut self) -> Outcome {
        thread::sleep(Duration::from_millis(self.random.u64(..300)));
        let first = self.random.bool();
        if first {
            self.plugin = None;
        }
        if !first || self.random.bool() {
            self.private.kill()?;
        }
        thread::sleep(Duration::from_millis(self.random.u64(..100)));
        self.plugin = None;
        self.start()?;
        Ok(self.private.start_again()?)
    }

    fn look(&self, volume: &str) -> Outcome {
        let list = format!("docker volume ls -q -f driver={NAME}");
        self.types(&list, &["busy", "idle", volume])?;
        let read = "docker run --rm -v idle:/data busybox cat /data/f";
        self.types(read, &["kept"])?;
        // The container still has its files, and it writes more.
        let running = "docker exec one cat /data/starts";
        wait_until(PATIENCE, || self.types(running, &["start"]).ok());
        self.types(running, &["start"])?;
        let gone = "docker volume ls -q -f name=round-";
        let rounds = dockerd::play(gone, PATIENCE)?.output;
        match rounds.trim() == volume {
            true => Ok(()),
            false => Err(wrong(gone, volume, rounds)),
        }
    }

    fn start(&mut self) -> Outcome {
        let mut plugin = Plugin::spawn(&self.program, &self.place)?;
        let listens = plugin.listens_on(&self.place.socket());
        self.plugin = Some(plugin);
        listens.map_err(|got| wrong("a start", "the plugin listens", got))?;
        no_path_leads_out(&self.place)
    }

    fn types(&self, command: &str, words: &[&str]) -> Outcome {
        let played = dockerd::play(command, 2 * PATIENCE)?;
        let good = played.status.is_some_and(|status| status.success());
        match good && words.iter().all(|word| played.output.contains(word)) {
            true => Ok(()),
            false => {
                let expected = format!("it succeeds, and prints {words:?}");
                Err(wrong(command, expected, played.output.trim()))
            }
        }
    }

    fn nothing_is_left(&self) -> Outcome {
        match mounts::left(&self.place.volumes()) {
            None => Ok(()),
            Some(path) => {
                let expected = "nothing is still mounted or attached";
                Err(wrong("docker volume rm", expected, path.display()))
            }
        }
    }
}
