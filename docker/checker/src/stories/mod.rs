//! The story of each step, played through the docker client and a real
//! dockerd.
//!
//! The output of each story is recorded in `docker/checker/stories/`. The slides
//! may show no other output.

mod podman;
mod step_01;
mod step_02;
mod step_03;
mod step_04;
mod step_05;
mod step_06;
mod step_07;
mod step_08;
mod step_09;

use std::ffi::OsString;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use serde_json::Value;
use stand_in::check::Check;
use stand_in::cleanup::Guard;
use stand_in::daemon::{Call, Daemon, Dialect, field};
use stand_in::finding::{Fault, Outcome, wrong};
use stand_in::plugin::{Log, Place, Plugin, Program};
use stand_in::report::{Report, Verdict};
use stand_in::root::Mountpoint;
use stand_in::wait::wait_until;

use crate::dockerd::{self, PATIENCE, Played, Private};
use crate::places::{NAME, PLUGINS, SPECS, containers};
use crate::podman::Podman;

/// A scene of a story: some commands, and what their user must see.
pub type Scene = Check<Stage>;

/// The scenes of one step, in order. Each continues where the last one ended.
pub fn scenes(step: u32) -> &'static [Scene] {
    match step {
        1 => step_01::SCENES,
        2 => step_02::SCENES,
        3 => step_03::SCENES,
        4 => step_04::SCENES,
        5 => step_05::SCENES,
        6 => step_06::SCENES,
        7 => step_07::SCENES,
        8 => step_08::SCENES,
        9 => step_09::SCENES,
        _ => &[],
    }
}

/// The scenes of one step with Podman, in order.
pub fn podman_scenes(step: u32) -> &'static [Scene] {
    match step {
        4 => podman::STEP_4,
        8 => podman::STEP_8,
        _ => &[],
    }
}

/// What a scene works with: a plugin where Docker or Podman finds it, and a shell
/// for commands.
#[derive(Debug)]
pub struct Stage {
    program: Program,
    /// Docker's name for the plugin.
    name: String,
    place: Option<Place>,
    plugin: Option<Plugin>,
    log: Log,
    transcript: String,
    brought_image: bool,
    /// Whether dockerd has no network for containers that ask for none.
    lacks_network: bool,
    /// The dockerd, if it is a private one.
    private: Option<Private>,
    /// The private Podman, if the story has no dockerd.
    podman: Option<Podman>,
    second: Option<Second>,
}

/// A second name for a plugin: a file that names a TCP port.
#[derive(Debug)]
struct Second {
    file: PathBuf,
    /// The same at each start, because dockerd remembers the address of a name.
    address: SocketAddr,
    /// `None` once `self` is being dropped.
    file_guard: Option<Guard>,
    /// Whether the file's folder existed before.
    has_folder: bool,
}

impl Second {
    fn new(name: &str) -> Result<Self> {
        let file = Path::new(SPECS).join(format!("{name}-two.spec"));
        if file.symlink_metadata().is_ok() {
            bail!("{} exists already: remove it first", file.display());
        }
        // The port is free now. Another program may still take it before the plugin.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let file_guard = Some(Guard::file(&file));
        let has_folder = Path::new(SPECS).exists();
        Ok(Self { file, address, file_guard, has_folder })
    }

    fn options(&self) -> [OsString; 4] {
        let address = self.address.to_string().into();
        let file = self.file.clone().into_os_string();
        ["--tcp".into(), address, "--spec".into(), file]
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        self.file_guard = None;
        if !self.has_folder {
            // The plugin has made the folder.
            let _ = fs::remove_dir(SPECS);
        }
    }
}

impl Stage {
    fn new(
        program: Program,
        name: &str,
        private: Option<Private>,
        podman: Option<Podman>,
    ) -> Result<Self> {
        let socket = Path::new(PLUGINS).join(format!("{name}.sock"));
        let metadata = socket.symlink_metadata();
        if metadata.is_ok_and(|metadata| !metadata.file_type().is_socket()) {
            bail!("{} is not a socket: remove it first", socket.display());
        }
        // A private Podman has no containers yet.
        let found = match podman {
            Some(_) => String::new(),
            None => dockerd::play(&containers(name), PATIENCE)?.output,
        };
        if !found.trim().is_empty() {
            bail!(
                "the container {name}-one exists, and the end of the story \
                 would remove it: run make rescue first, or use another name \
                 (NAME=other)"
            );
        }
        if std::os::unix::net::UnixStream::connect(&socket).is_ok() {
            bail!(
                "a plugin answers on {}: stop it first, or use another name \
                 (NAME=other)",
                socket.display()
            );
        }
        Ok(Self {
            program,
            name: name.to_owned(),
            place: Some(Place::with_socket(socket)?),
            plugin: None,
            log: Log::default(),
            transcript: String::new(),
            brought_image: false,
            lacks_network: false,
            private,
            podman,
            second: None,
        })
    }

    /// Starts the plugin and waits until it listens.
    ///
    /// # Errors
    /// The plugin is wrong if it does not listen in time.
    pub fn start(&mut self) -> Outcome {
        let place = self.place.as_ref().context("the place of the plugin")?;
        let program = match &self.second {
            Some(second) => &self.program.with_options(second.options()),
            None => &self.program,
        };
        let mut plugin = Plugin::spawn(program, place)?;
        self.log = plugin.log();
        let listens = plugin.listens_on(&place.socket());
        self.plugin = Some(plugin);
        listens.map_err(|got| {
            wrong("PROGRAM SOCKET ROOT", "the plugin listens on SOCKET", got)
        })?;
        no_path_leads_out(place)
    }

    /// From now on, a shell runs `command` before each start of the plugin.
    pub fn run_before_plugin(&mut self, command: &str) {
        self.program = self.program.after(command);
    }

    /// The plugin's ROOT.
    ///
    /// # Errors
    /// When the story has ended.
    pub fn volumes(&self) -> Result<PathBuf> {
        Ok(self.place.as_ref().context("the place of the plugin")?.volumes())
    }

    /// Overwrites a file in ROOT, as a person with an editor may, and shows the
    /// command for that.
    ///
    /// # Errors
    /// When the file cannot be written, or leads out of ROOT.
    pub fn spoil(&mut self, file: &str) -> Outcome {
        let place = self.place.as_ref().context("the place of the plugin")?;
        place.root().open()?.write(file, "{\n")?;
        let path =
            self.log.shorten(&place.volumes().join(file).display().to_string());
        self.transcript.push_str(&format!("$ echo '{{' > {path}\n"));
        Ok(())
    }

    /// Makes sure that dockerd has an image to run containers from.
    ///
    /// # Errors
    /// When the image can be neither made nor downloaded.
    pub fn bring_image(&mut self) -> Outcome {
        self.brought_image |= dockerd::bring_image()?;
        let bridge = dockerd::play("docker network inspect bridge", PATIENCE)?;
        self.lacks_network =
            bridge.status.is_some_and(|status| !status.success());
        if self.lacks_network {
            println!(
                "dockerd has no network `bridge`, so this story adds \
                 `--network none` to each `docker run`"
            );
        }
        Ok(())
    }

    /// Gives the plugin the second name `workshop-two`. From the next start on, the
    /// plugin listens on TCP as well and writes the file that names its port.
    ///
    /// # Errors
    /// When no port is free.
    pub fn give_second_name(&mut self) -> Outcome {
        self.second = Some(Second::new(&self.name)?);
        Ok(())
    }

    /// Sends SIGTERM. The plugin must end with status 0.
    ///
    /// # Errors
    /// The plugin is wrong if it does not end, or ends with another status.
    pub fn stop(&mut self) -> Outcome {
        let mut plugin = self.plugin.take().context("a plugin that runs")?;
        plugin.signal(Signal::TERM);
        match plugin.ends_within(PATIENCE) {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(wrong(
                "SIGTERM",
                "it ends with status 0",
                format!("the plugin ended ({status})"),
            )),
            None => {
                Err(wrong("SIGTERM", "it ends with status 0", "it still runs"))
            }
        }
    }

    /// Kills the plugin as `kill -9` does: its socket stays.
    pub fn kill(&mut self) {
        self.plugin = None;
    }

    /// Restarts dockerd and waits until it answers.
    ///
    /// # Errors
    /// [`Fault::NotTried`] for the machine's own dockerd, because other people may
    /// use it.
    pub fn restart_docker(&mut self) -> Outcome {
        match dockerd::restart(self.private.as_mut())? {
            true => Ok(()),
            false => Err(Fault::NotTried(
                "this scene never restarts the machine's own dockerd; it plays \
                 in the sandbox and with DOCKERD=private"
                    .to_owned(),
            )),
        }
    }

    /// Types a docker or podman command, in which `workshop` is the plugin's name.
    ///
    /// # Errors
    /// When no shell can be started.
    pub fn types(&mut self, command: &str) -> Result<CommandResult, Fault> {
        // Containers write to any path that the plugin names.
        let mut runs = ["docker run ", "podman run "].into_iter();
        let is_run = runs.any(|run| command.contains(run));
        if self.plugin.is_some() && is_run {
            let place = self.place.as_ref();
            no_path_leads_out(place.context("the place of the plugin")?)?;
        }
        let typed = self.typed(command);
        let patience = match self.podman {
            Some(_) => crate::podman::PATIENCE,
            None => PATIENCE,
        };
        let mut played = dockerd::play(&typed, patience)?;
        // The path of the plugin's folder differs in each run.
        played.output = self.log.shorten(&played.output);
        let output = &played.output;
        self.transcript.push_str(&format!("$ {command}\n{output}"));
        Ok(CommandResult { played })
    }

    /// Repeats a command until it prints all of `words`.
    ///
    /// # Errors
    /// The plugin is wrong if the command does not print them in time.
    pub fn awaits(&mut self, command: &str, words: &[&str]) -> Outcome {
        let typed = self.typed(command);
        wait_until(PATIENCE, || {
            let output = dockerd::play(&typed, PATIENCE).ok()?.output;
            words.iter().all(|word| output.contains(word)).then_some(())
        });
        self.types(command)?.works(words)
    }

    fn typed(&self, command: &str) -> String {
        typed(command, &self.name, self.lacks_network)
    }

    /// Removes the containers, volumes and the image of the story. Missing ones are
    /// no error.
    fn strike(&mut self) {
        if let Some(podman) = self.podman.take() {
            podman.strike();
            self.plugin = None;
            self.place = None;
            return;
        }
        let containers =
            format!("{} | xargs -r docker rm -f", containers(&self.name));
        let _ = dockerd::play(&containers, PATIENCE);
        let volumes = format!(
            "docker volume ls -q -f driver={0} -f driver={0}-two",
            self.name
        );
        let volumes =
            dockerd::play(&volumes, PATIENCE).map(|played| played.output);
        for volume in volumes.unwrap_or_default().lines() {
            let _ = dockerd::play(
                &format!("docker volume rm -f '{volume}'"),
                PATIENCE,
            );
        }
        self.plugin = None;
        self.place = None;
        self.second = None;
        if self.brought_image {
            let remove = format!("docker image rm {}", dockerd::IMAGE);
            let _ = dockerd::play(&remove, Duration::from_secs(30));
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.strike();
    }
}

/// Mounts each volume and a new one, and tests that their paths are in ROOT. This
/// happens before containers write into volumes, because Docker binds any folder
/// that a plugin names.
///
/// # Errors
/// The plugin is wrong if it names a path outside of ROOT.
pub fn no_path_leads_out(place: &Place) -> Outcome {
    const NEW: &str = "checker-looks";
    let mut docker = Daemon::new(&place.socket(), Dialect::default());
    let mut ask = |call: &Call| {
        let reply = docker.call(call).ok();
        reply.and_then(|reply| reply.judge().ok())
    };
    let listed = ask(&Call::list()).unwrap_or_default();
    let listed = field(&listed, "Volumes").and_then(Value::as_array);
    let mut volumes: Vec<_> = listed
        .into_iter()
        .flatten()
        .filter_map(|volume| Some(field(volume, "Name")?.as_str()?.to_owned()))
        .collect();
    if ask(&Call::create(NEW, Value::Null)).is_some() {
        volumes.push(NEW.to_owned());
    }
    let mut outcome = Ok(());
    let id = "5eed".repeat(16);
    for volume in &volumes {
        let mount = Call::mount(volume, &id);
        let Some(answer) = ask(&mount) else { continue };
        let path = field(&answer, "Mountpoint").and_then(Value::as_str);
        // For an empty path, Docker mounts a folder that belongs to the container.
        if let Some(path) = path.filter(|path| !path.is_empty()) {
            let sent = mount.to_string();
            let path = Mountpoint::new(path, &sent, place.root());
            outcome = outcome.and(path.leads_below_root());
        }
        ask(&Call::unmount(volume, &id));
    }
    if volumes.iter().any(|volume| volume == NEW) {
        ask(&Call::remove(NEW));
    }
    outcome
}

/// The result of a command.
#[derive(Debug)]
pub struct CommandResult {
    played: Played,
}

impl CommandResult {
    /// Requires that the command succeeded and printed all of `words`.
    ///
    /// # Errors
    /// The plugin is wrong otherwise.
    pub fn works(&self, words: &[&str]) -> Outcome {
        let says = self.expectation("it succeeds", words);
        match self.played.status {
            Some(status) if status.success() && self.has(words) => Ok(()),
            _ => Err(self.wrong(&says)),
        }
    }

    /// Requires that the command succeeded and printed none of `words`.
    ///
    /// # Errors
    /// The plugin is wrong otherwise.
    pub fn works_without(&self, words: &[&str]) -> Outcome {
        let says =
            format!("it succeeds, and does not print {}", words.join(", "));
        let none = words.iter().all(|word| !self.played.output.contains(word));
        match self.played.status {
            Some(status) if status.success() && none => Ok(()),
            _ => Err(self.wrong(&says)),
        }
    }

    /// Requires that the command failed and printed all of `words`.
    ///
    /// # Errors
    /// The plugin is wrong otherwise.
    pub fn fails(&self, words: &[&str]) -> Outcome {
        let says = self.expectation("it fails", words);
        match self.played.status {
            Some(status) if !status.success() && self.has(words) => Ok(()),
            _ => Err(self.wrong(&says)),
        }
    }

    fn has(&self, words: &[&str]) -> bool {
        words.iter().all(|word| self.played.output.contains(word))
    }

    fn expectation(&self, what: &str, words: &[&str]) -> String {
        match words {
            [] => what.to_owned(),
            _ => format!("{what}, and prints {}", words.join(" … ")),
        }
    }

    fn wrong(&self, expected: &str) -> Fault {
        let output = stand_in::daemon::clip(self.played.output.trim());
        let got = match self.played.status {
            Some(status) => {
                format!("exit {}: {output}", status.code().unwrap_or(-1))
            }
            None => format!(
                "it has not ended after {} s: {output}",
                self.played.took.as_secs()
            ),
        };
        wrong(&self.played.command, expected, got)
    }
}

/// Plays the story of `step` with `program`, which may be of a later step. Returns
/// the report and the transcript.
///
/// # Errors
/// When no dockerd answers, or the checker cannot work.
pub fn play(
    step: u32,
    program: Program,
    name: &str,
    private: Option<Private>,
    seen: impl FnMut(&Report),
) -> Result<(Report, String)> {
    play_scenes(scenes(step), program, name, private, seen)
}

/// The same with other scenes than those of a step's story.
///
/// # Errors
/// When no dockerd answers, or the checker cannot work.
pub fn play_scenes(
    scenes: &[Scene],
    program: Program,
    name: &str,
    private: Option<Private>,
    seen: impl FnMut(&Report),
) -> Result<(Report, String)> {
    play_on(Stage::new(program, name, private, None)?, scenes, seen)
}

/// Plays the Podman story of `step`.
///
/// # Errors
/// When the checker cannot work.
pub fn play_by_podman(
    step: u32,
    program: Program,
    name: &str,
    podman: Podman,
    seen: impl FnMut(&Report),
) -> Result<(Report, String)> {
    let stage = Stage::new(program, name, None, Some(podman))?;
    play_on(stage, podman_scenes(step), seen)
}

fn play_on(
    mut stage: Stage,
    scenes: &[Scene],
    mut seen: impl FnMut(&Report),
) -> Result<(Report, String)> {
    let mut report = Report::new(stage.program.path(), 0);
    for scene in scenes {
        let outcome = (scene.run)(&mut stage);
        let verdict = Verdict::of(outcome, &stage.log)
            .with_context(|| format!("playing {}", scene.id))?;
        report.add(scene, verdict);
        seen(&report);
        if !report.passed() {
            break;
        }
    }
    Ok((report, std::mem::take(&mut stage.transcript)))
}

/// The file with the transcript of a step's story. `engine` is `dockerd` or
/// `podman`.
pub fn transcript_file(root: &Path, engine: &str, step: u32) -> PathBuf {
    let name = match engine {
        "dockerd" => format!("{step:02}.console"),
        other => format!("{other}-{step:02}.console"),
    };
    root.join("docker/checker/stories").join(name)
}

/// Compares the transcript of a story with the recorded one, or records it. Docker's
/// words differ between versions, so a transcript of another version than the
/// recorded one is not compared.
///
/// # Errors
/// When the transcripts differ, or the file cannot be read or written.
pub fn compare(
    root: &Path,
    step: u32,
    engine: &str,
    version: &str,
    transcript: &str,
) -> Result<()> {
    let version: Vec<_> = version.split('.').take(2).collect();
    let head = format!("# {engine} {}\n", version.join("."));
    let file = transcript_file(root, engine, step);
    let masked = head.clone() + &mask(transcript);
    if env::var_os("RECORD").is_some() {
        return fs::write(&file, masked)
            .with_context(|| format!("writing {}", file.display()));
    }
    let recorded = fs::read_to_string(&file)
        .with_context(|| format!("reading {}", file.display()))?;
    if recorded.starts_with(&head) && recorded != masked {
        bail!(
            "the story of step {step} does not print what {} has (RECORD=1 \
             records it again):\n{}",
            file.display(),
            diffy::create_patch(&recorded, &masked)
        );
    }
    Ok(())
}

/// Replaces the parts that differ in each run: ids of 12 and of 64 hexadecimal
/// digits, numbers of loop devices, and times.
pub fn mask(text: &str) -> String {
    let text = without_loops(&without_times(text));
    let mut masked = String::new();
    let mut word = String::new();
    for c in text.chars().chain(std::iter::once('\0')) {
        if c.is_ascii_alphanumeric() {
            word.push(c);
            continue;
        }
        let hex =
            word.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        match word.len() {
            12 if hex => masked.push_str("ID"),
            64 if hex => masked.push_str("LONG-ID"),
            _ => masked.push_str(&word),
        }
        word.clear();
        if c != '\0' {
            masked.push(c);
        }
    }
    masked
}

/// Replaces each loop device by the first one.
fn without_loops(text: &str) -> String {
    const DEVICE: &str = "/dev/loop";
    let mut parts = text.split(DEVICE);
    let mut masked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
        masked += &format!("{DEVICE}0{rest}");
    }
    masked
}

/// Replaces the digits of times by zeros: 0000-00-00T00:00:00.
pub fn without_times(text: &str) -> String {
    const FORM: &[u8] = b"0000-00-00 00:00:00";
    let alike = |(form, byte): (&u8, &u8)| match form {
        b'0' => byte.is_ascii_digit(),
        b' ' => matches!(byte, b' ' | b'T'),
        _ => form == byte,
    };
    let mut bytes = text.as_bytes().to_vec();
    for end in FORM.len()..=bytes.len() {
        let time = &mut bytes[end - FORM.len()..end];
        if FORM.iter().zip(&*time).all(alike) {
            time.iter_mut()
                .filter(|byte| byte.is_ascii_digit())
                .for_each(|byte| *byte = b'0');
        }
    }
    String::from_utf8(bytes).expect("digits took the place of digits")
}

/// A command of a story, for a plugin with this name.
fn typed(command: &str, name: &str, lacks_network: bool) -> String {
    // Otherwise the container would not start, and the plugin would be blamed.
    let command = match lacks_network {
        true => command.replace("docker run ", "docker run --network none "),
        false => command.to_owned(),
    };
    match name {
        NAME => command,
        other => command.replace(NAME, other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_story_is_typed_for_the_plugin_and_the_docker_that_are_there() {
        let run = "docker run --rm --volume-driver workshop busybox true";
        assert_eq!(typed(run, NAME, false), run);
        assert_eq!(
            typed(run, "other", true),
            "docker run --network none --rm --volume-driver other busybox true"
        );
    }

    #[test]
    fn ids_and_times_are_masked_and_words_are_not() {
        let id = "93de".repeat(16);
        for (text, masked) in [
            ("0123456789ab", "ID"),
            (id.as_str(), "LONG-ID"),
            (
                "remove v: volume is in use - [0123456789ab]\n",
                "remove v: volume is in use - [ID]\n",
            ),
            ("VolumeDriver", "VolumeDriver"),
            ("0123456789abc", "0123456789abc"),
            ("at 2026-11-24T17:34:02.5Z ü", "at 0000-00-00T00:00:00.5Z ü"),
            ("2026-11-24 17:34:02", "0000-00-00 00:00:00"),
            ("2026-11-24", "2026-11-24"),
            ("/dev/loop12  54.7M", "/dev/loop0  54.7M"),
        ] {
            assert_eq!(mask(text), masked, "{text}");
        }
    }
}
