//! A real dockerd, and the docker client that drives it.
//!
//! Two of them: the machine's own (`DOCKERD=host`), and a private one, started
//! in namespaces of its own, where nothing that it does reaches the machine and
//! nothing of it outlives the run (`DOCKERD=private`).

use std::env;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, WaitOptions, waitpid};
use stand_in::cleanup::{self, Folder, Guard};
use stand_in::mounts;
use stand_in::search_path::on_path;
use stand_in::wait::wait_until;

use crate::{cargo, places};

/// How long one docker command may take, unless a story says otherwise. It lies
/// below the 15 seconds after which dockerd gives up on a plugin.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How long the sandbox's dockerd may take to end and to come back.
const RESTART: Duration = Duration::from_secs(60);

/// The image that stories run containers from.
pub const IMAGE: &str = "busybox";

/// Tells a checker that it runs beside a private dockerd.
pub const INSIDE: &str = "WORKSHOP_PRIVATE";

/// Tells that this is a sandbox: its dockerd is there to be used.
pub fn in_sandbox() -> bool {
    env::var_os("WORKSHOP_SANDBOX").is_some()
}

/// Runs a command line of the checker in the sandbox, which is started if need
/// be.
///
/// # Errors
/// When there is no sandbox to run it in.
pub fn in_sandbox_run(root: &Path, words: &[&str]) -> Result<ExitStatus> {
    let mut sandbox = Command::new("sh");
    sandbox
        .current_dir(root)
        .args(["docker/sandbox.sh", "run"])
        .args(words)
        .env("AGAINST", "docker");
    let status = sandbox.status().context("running docker/sandbox.sh")?;
    match status.code() {
        Some(125) => bail!(
            "there is no sandbox (see above); as root on Linux, DOCKERD=private \
             starts a dockerd without one, and DOCKERD=host uses the machine's"
        ),
        _ => Ok(status),
    }
}

/// A command as a person types it, and what came of it.
#[derive(Clone, Debug)]
pub struct Played {
    /// The line that was typed.
    pub command: String,
    /// None if it was still running at its deadline.
    pub status: Option<ExitStatus>,
    /// What it printed, to both streams, as a terminal shows it.
    pub output: String,
    /// How long it took.
    pub took: Duration,
}

/// Types one line into a shell, for at most `patience`.
///
/// # Errors
/// When there is no shell, or no pipe.
pub fn play(command: &str, patience: Duration) -> Result<Played> {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]);
    Ok(Played { command: command.to_owned(), ..watched(shell, patience)? })
}

/// Runs a program in the same way.
///
/// # Errors
/// When there is no such program, or no pipe.
pub fn watched(mut command: Command, patience: Duration) -> Result<Played> {
    let (mut reader, writer) = std::io::pipe()?;
    let start = Instant::now();
    let words = format!("{command:?}");
    command
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer);
    let (mut child, group) = Guard::group(|| command.spawn())
        .with_context(|| format!("starting {words}"))?;
    // It holds the writing end of the pipe.
    drop(command);
    let output = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = reader.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    });
    let status = wait_until(patience, || child.try_wait().ok().flatten());
    let took = start.elapsed();
    // A command that hangs is killed, or its output would never end.
    drop(group);
    let _ = child.wait();
    let output = output.join().unwrap_or_default();
    Ok(Played { command: words, status, output, took })
}

/// The version of the dockerd that answers.
///
/// # Errors
/// In words of the docker client's, and with the next step.
pub fn version() -> Result<String> {
    let asked = play(
        "docker version --format '{{.Server.Version}}'",
        Duration::from_secs(5),
    )?;
    let text = asked.output.trim();
    match asked.status {
        Some(status) if status.success() => Ok(text.to_owned()),
        Some(status) if status.code() == Some(127) => bail!(
            "there is no docker client on PATH; make doctor says how to get it"
        ),
        Some(_) => bail!("no dockerd answers here: {text}"),
        None => bail!("`docker version` still waits after 5 s"),
    }
}

/// Makes sure that [`IMAGE`] is there. Returns whether it was not before.
///
/// # Errors
/// When it is neither on this machine nor to be had from a registry.
pub fn bring_image() -> Result<bool> {
    let known = play(&format!("docker image inspect -f . {IMAGE}"), PATIENCE)?;
    if known.status.is_some_and(|it| it.success()) {
        return Ok(false);
    }
    let busybox = Path::new("/bin/busybox");
    let made = if busybox.exists() {
        import("docker", busybox)?
    } else {
        eprintln!("downloading {IMAGE} (some 2 MB)…");
        play(&format!("docker pull -q {IMAGE}"), Duration::from_secs(120))?
    };
    ensure!(
        made.status.is_some_and(|it| it.success()),
        "bringing the image {IMAGE}: {} (apt-get install busybox-static makes \
         it unnecessary to download)",
        made.output.trim()
    );
    Ok(true)
}

/// An image of nothing but a static busybox, for machines without a registry.
/// `client` is `docker` or `podman`.
///
/// # Errors
/// When the image's folder cannot be made.
pub(crate) fn import(client: &str, busybox: &Path) -> Result<Played> {
    let folder = Folder::new()?;
    let bin = folder.path().join("bin");
    fs::create_dir(&bin)?;
    fs::copy(busybox, bin.join("busybox"))?;
    let names = Command::new(busybox).arg("--list").output()?.stdout;
    for name in String::from_utf8_lossy(&names).lines() {
        // busybox lists itself, too.
        if name != "busybox" {
            std::os::unix::fs::symlink("busybox", bin.join(name))?;
        }
    }
    play(
        &format!(
            "tar -C '{}' -c bin | {client} import -c 'ENV PATH=/bin' - {IMAGE}",
            folder.path().display()
        ),
        Duration::from_secs(60),
    )
}

/// Why this machine cannot start a private dockerd; none if it can.
pub fn no_private() -> Option<String> {
    if !cfg!(target_os = "linux") {
        return Some("a dockerd of our own needs Linux (make sandbox)".into());
    }
    if !rustix::process::geteuid().is_root() {
        return Some("a dockerd of our own needs root (sudo)".to_owned());
    }
    for (program, from) in [
        ("dockerd", "docker.io"),
        ("docker", "docker.io"),
        ("unshare", "util-linux"),
        ("ip", "iproute2"),
    ] {
        if !on_path(program) {
            return Some(format!("no {program} here (apt install {from})"));
        }
    }
    None
}

/// The folder of the namespaces of our own that this program runs in, if it does.
///
/// # Errors
/// When the variable that names it comes from elsewhere: what is done in there
/// would take a machine its sockets, its mounts and its containers.
pub fn inside() -> Result<Option<PathBuf>> {
    let Some(folder) = env::var_os(INSIDE) else { return Ok(None) };
    // The first process of such namespaces was started with it, too.
    let mark = [INSIDE.as_bytes(), b"=", folder.as_bytes()].concat();
    let first = fs::read("/proc/1/environ").unwrap_or_default();
    ensure!(
        first.split(|it| *it == 0).any(|it| it == mark),
        "{INSIDE} is set, and these are no namespaces of ours: unset {INSIDE}"
    );
    Ok(Some(folder.into()))
}

/// Runs a program of ours (`checker`, `prover`) beside a dockerd of its own.
///
/// # Errors
/// When this machine cannot, or the program does not start.
pub fn in_private(program: &str, args: &[&str]) -> Result<ExitStatus> {
    if let Some(why) = no_private() {
        bail!("{why}; or DOCKERD=host uses the machine's own");
    }
    in_namespaces("docker", &[], program, args, |_| Ok(Vec::new()))
}

/// Runs a program of ours in namespaces of its own, by the words of `init`, with `AGAINST` set and what `environment` says about the run's folder.
///
/// # Errors
/// When the program does not start.
pub(crate) fn in_namespaces(
    against: &str,
    init: &[&str],
    program: &str,
    args: &[&str],
    environment: impl FnOnce(&Path) -> Result<Vec<(&'static str, PathBuf)>>,
) -> Result<ExitStatus> {
    let folder = Folder::new()?;
    // In there no process id tells whose folder one of the machine's is.
    let temp = folder.path().join("tmp");
    fs::create_dir(&temp)?;
    let program = cargo::program(program)?;
    let mut unshare = Command::new("unshare");
    unshare
        .args(["--mount", "--net", "--pid", "--uts", "--ipc"])
        .args(["--fork", "--kill-child", "--mount-proc", "--"])
        .args(init)
        .arg(program)
        .args(args)
        .env("AGAINST", against)
        .envs(environment(folder.path())?)
        .env("TMPDIR", temp)
        .env(INSIDE, folder.path())
        .env(places::ROOTS, folder.path().join("roots"))
        .env(cleanup::MARK, folder.path());
    let mut child = unshare.spawn().context("starting unshare")?;
    Ok(child.wait()?)
}

/// The dockerd of the namespaces that [`in_private`] made.
#[derive(Debug)]
pub struct Private {
    dockerd: Child,
    log: PathBuf,
}

impl Private {
    /// Starts it, if we are the program in such namespaces.
    ///
    /// # Errors
    /// With the end of its log, when it does not answer in time.
    pub fn start() -> Result<Option<Self>> {
        let Some(folder) = inside()? else { return Ok(None) };
        // A copy of what other checkers have mounted would keep it in use.
        mounts::drop_others(Path::new(&folder));
        // Sockets of the machine's own daemons are not there any more.
        must("mount -t tmpfs tmpfs /run")?;
        // As systemd has it on a real host.
        must("mount --make-rshared /")?;
        must("ip link set lo up")?;
        let log = Path::new(&folder).join("dockerd.log");
        let mut private = Self { dockerd: dockerd(&log)?, log };
        private.await_answer()?;
        Ok(Some(private))
    }

    /// Ends it as an update of Docker does, and starts it again.
    ///
    /// # Errors
    /// With the end of its log, when it does not answer in time.
    pub fn restart(&mut self) -> Result<()> {
        self.stop();
        self.dockerd = dockerd(&self.log)?;
        self.await_answer()
    }

    /// `kill -9`: its containers live on.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(&mut self) -> Result<()> {
        self.dockerd.kill().context("killing dockerd")?;
        self.dockerd.wait().context("awaiting dockerd's end")?;
        // Its containerd dies of that. In here we are process 1, which has to
        // await it: to the next dockerd, a zombie would look alive.
        let file = "/run/docker/containerd/containerd.pid";
        let id = fs::read_to_string(file).unwrap_or_default();
        let id = id.trim().parse().ok().and_then(Pid::from_raw);
        wait_until(Duration::from_secs(5), || match id {
            Some(_) => match waitpid(id, WaitOptions::NOHANG) {
                Ok(None) => None,
                Ok(Some(_)) | Err(_) => Some(()),
            },
            None => Some(()),
        });
        Ok(())
    }

    /// Starts it again, if it has ended.
    ///
    /// # Errors
    /// With the end of its log, when it does not answer in time.
    pub fn start_again(&mut self) -> Result<()> {
        if self.dockerd.try_wait()?.is_some() {
            self.dockerd = dockerd(&self.log)?;
        }
        self.await_answer()
    }

    fn await_answer(&mut self) -> Result<()> {
        let up = wait_until(Duration::from_secs(60), || {
            let ended = self.dockerd.try_wait().ok().flatten().is_some();
            (ended || version().is_ok()).then_some(!ended)
        });
        if up != Some(true) {
            let text = fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<_> = text.lines().rev().take(5).collect();
            bail!("a dockerd of our own did not start: {}", lines.join(" | "));
        }
        Ok(())
    }

    fn stop(&mut self) {
        // SIGTERM lets it take its containers along; the namespaces would.
        let id = self.dockerd.id();
        let pid =
            i32::try_from(id).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            let term = rustix::process::Signal::TERM;
            let _ = rustix::process::kill_process(pid, term);
        }
        let gone = || self.dockerd.try_wait().ok().flatten();
        if wait_until(Duration::from_secs(15), gone).is_none() {
            let _ = self.dockerd.kill();
            let _ = self.dockerd.wait();
        }
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A dockerd that keeps all that it has beside its log.
fn dockerd(log: &Path) -> Result<Child> {
    let mut command = Command::new("dockerd");
    command
        .args(["--host", "unix:///run/docker.sock"])
        .arg("--data-root")
        .arg(log.with_file_name("docker"))
        .stdin(Stdio::null())
        .stdout(fs::File::options().append(true).create(true).open(log)?)
        .stderr(fs::File::options().append(true).open(log)?);
    command.spawn().context("starting dockerd")
}

/// Restarts the dockerd that answers, if it is one that may be restarted: our
/// own, or that of the sandbox. Returns whether it was.
///
/// # Errors
/// When it does not answer in time.
pub fn restart(private: Option<&mut Private>) -> Result<bool> {
    match private {
        Some(private) => private.restart()?,
        None if in_sandbox() => {
            let restarted = play("toolbox-init restart", RESTART)?;
            let good = restarted.status.is_some_and(|it| it.success());
            ensure!(good, "toolbox-init restart: {}", restarted.output.trim());
        }
        None => return Ok(false),
    }
    Ok(true)
}

/// Runs a command, which must succeed.
///
/// # Errors
/// With what it printed.
pub(crate) fn must(command: &str) -> Result<()> {
    let played = play(command, PATIENCE)?;
    ensure!(
        played.status.is_some_and(|it| it.success()),
        "{command}: {}",
        played.output.trim()
    );
    Ok(())
}
