//! A real dockerd, and the docker client that drives it.
//!
//! There are two kinds: the machine's own dockerd (`DOCKERD=host`), and a private
//! one (`DOCKERD=private`). The private one runs in namespaces of its own: its
//! work does not reach the machine, and everything of it ends with the run.

use std::env;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use stand_in::cleanup::{self, Folder, Guard};
use stand_in::mounts;
use stand_in::processes;
use stand_in::search_path::on_path;
use stand_in::wait::wait_until;

use crate::{cargo, places};

/// How long one docker command may take, unless a story says otherwise. The value
/// is below the 15 seconds after which dockerd gives up on a plugin.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How long the sandbox's dockerd may take to end and to start again.
const RESTART: Duration = Duration::from_secs(60);

/// The image that stories run containers from.
pub const IMAGE: &str = "busybox";

/// Names the run's folder in the environment of a program that runs in namespaces
/// of its own, beside a private dockerd or a Podman.
pub const INSIDE: &str = "WORKSHOP_PRIVATE";

/// Folders to which these daemons write whatever their configuration says. In the
/// namespaces of a run, each of them is an empty tmpfs:
/// - `/run`: sockets, among them those of the machine's own daemons;
/// - `/etc/docker`: dockerd 20.10 writes `key.json`;
/// - `/opt/containerd`: containerd makes two folders;
/// - `/var/cache`: Podman writes which image a short name means;
/// - `/var/lib/containers`: Podman writes a cache of image layers.
const WRITTEN: [&str; 5] = [
    "/run",
    "/etc/docker",
    "/opt/containerd",
    "/var/cache",
    "/var/lib/containers",
];

/// Whether this program runs in a sandbox, whose dockerd any command may use.
pub fn in_sandbox() -> bool {
    env::var_os("WORKSHOP_SANDBOX").is_some()
}

/// Runs a command line of the checker in the sandbox, and starts the sandbox
/// first if it does not run.
///
/// # Errors
/// When the sandbox cannot be started.
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

/// A command as a person types it, and its result.
#[derive(Clone, Debug)]
pub struct Played {
    /// The line that was typed.
    pub command: String,
    /// `None` if the command was still running at its deadline.
    pub status: Option<ExitStatus>,
    /// The text that the command printed to both streams, as a terminal shows it.
    pub output: String,
    /// How long the command took.
    pub took: Duration,
}

/// Types one line into a shell, and kills the command after `patience`.
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
    // `command` holds the writing end of the pipe, which must close.
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
/// When no dockerd answers: the error has the docker client's words and the next
/// step.
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
        None => bail!(
            "`docker version` still waits after 5 s: restart dockerd, or look \
             at DOCKER_HOST and `docker context ls`"
        ),
    }
}

/// Makes sure that dockerd has [`IMAGE`]. Returns whether the image is new.
///
/// # Errors
/// When this machine has no static busybox and no registry answers.
pub fn bring_image() -> Result<bool> {
    let known = play(&format!("docker image inspect -f . {IMAGE}"), PATIENCE)?;
    if known.status.is_some_and(|status| status.success()) {
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
        made.status.is_some_and(|status| status.success()),
        "the image {IMAGE} is missing: {} (apt-get install busybox-static \
         provides it without a download)",
        made.output.trim()
    );
    Ok(true)
}

/// Makes an image that holds only a static busybox, for machines without a
/// registry. `client` is `docker` or `podman`.
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
        // busybox lists its own name as well.
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

/// Why this machine cannot start a private dockerd; `None` if it can.
pub fn no_private() -> Option<String> {
    if !cfg!(target_os = "linux") {
        return Some("a private dockerd needs Linux (make sandbox)".into());
    }
    if !rustix::process::geteuid().is_root() {
        return Some("a private dockerd needs root (sudo)".to_owned());
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

/// The run's folder, if this program runs in namespaces that `in_namespaces`
/// made.
///
/// # Errors
/// When another program has set [`INSIDE`]. Outside of such namespaces, the work
/// of a run would hide the machine's sockets and remove its containers.
pub fn inside() -> Result<Option<PathBuf>> {
    let Some(folder) = env::var_os(INSIDE) else { return Ok(None) };
    // In such namespaces, the first process has the same variable.
    let mark = [INSIDE.as_bytes(), b"=", folder.as_bytes()].concat();
    let first = fs::read("/proc/1/environ").unwrap_or_default();
    ensure!(
        first.split(|byte| *byte == 0).any(|variable| variable == mark),
        "{INSIDE} is set, but this program is not in namespaces of its own: \
         unset {INSIDE}"
    );
    Ok(Some(folder.into()))
}

/// Runs `checker` or `prover` beside a private dockerd.
///
/// # Errors
/// When this machine cannot start one, or the program does not start.
pub fn in_private(program: &str, args: &[&str]) -> Result<ExitStatus> {
    if let Some(why) = no_private() {
        bail!("{why}; DOCKERD=host uses the machine's own dockerd instead");
    }
    in_namespaces("docker", &[], program, args, |_| Ok(Vec::new()))
}

/// Runs `checker` or `prover` in namespaces of its own, started by the command
/// `init` and with `AGAINST={against}`. `environment` gets the run's folder and
/// returns more variables.
///
/// # Errors
/// When the program does not start, or could not see its own files in there.
pub(crate) fn in_namespaces(
    against: &str,
    init: &[&str],
    program: &str,
    args: &[&str],
    environment: impl FnOnce(&Path) -> Result<Vec<(&'static str, PathBuf)>>,
) -> Result<ExitStatus> {
    let folder = Folder::new()?;
    // The program gets a TMPDIR of its own: process ids mean something else in
    // the namespaces, so it cannot tell which of the machine's folders are in use.
    let temp = folder.path().join("tmp");
    fs::create_dir(&temp)?;
    let program = cargo::program(program)?;
    let hidden =
        |path: &Path| WRITTEN.iter().any(|folder| path.starts_with(folder));
    for (name, path) in
        [("TMPDIR", folder.path()), ("CARGO_TARGET_DIR", &program)]
    {
        ensure!(
            !hidden(path),
            "a private daemon cannot see {}: set {name} to a folder that is not \
             below {}",
            path.display(),
            WRITTEN.join(", ")
        );
    }
    let mut made = Vec::new();
    for path in WRITTEN.map(Path::new) {
        let guard = Guard::folder_of_the_machine(path);
        made.push(guard.with_context(|| format!("making {}", path.display()))?);
    }
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

/// Prepares the namespaces that this program was started in.
///
/// # Errors
/// When a mount is refused.
pub(crate) fn mount_own_folders(run: &Path) -> Result<()> {
    // Copies of other checkers' mounts would keep those in use.
    mounts::drop_others(run);
    for folder in WRITTEN {
        must(&format!("mount -t tmpfs -o mode=755 tmpfs {folder}"))?;
    }
    // systemd does the same on a real host.
    must("mount --make-rshared /")
}

/// The private dockerd in the namespaces that [`in_private`] made.
#[derive(Debug)]
pub struct Private {
    dockerd: Child,
    log: PathBuf,
}

impl Private {
    /// Starts dockerd, if this program runs in such namespaces.
    ///
    /// # Errors
    /// When dockerd does not answer in time: the error has the end of its log.
    pub fn start() -> Result<Option<Self>> {
        let Some(folder) = inside()? else { return Ok(None) };
        mount_own_folders(&folder)?;
        must("ip link set lo up")?;
        let log = folder.join("dockerd.log");
        let mut private = Self { dockerd: dockerd(&log)?, log };
        private.await_answer()?;
        Ok(Some(private))
    }

    /// Restarts dockerd in good order, as an update of Docker does.
    ///
    /// # Errors
    /// When dockerd does not answer in time: the error has the end of its log.
    pub fn restart(&mut self) -> Result<()> {
        self.stop();
        self.dockerd = dockerd(&self.log)?;
        self.await_answer()
    }

    /// Kills dockerd as `kill -9` does: its containers keep running.
    ///
    /// # Errors
    /// When the system refuses the signal.
    pub fn kill(&mut self) -> Result<()> {
        self.dockerd.kill().context("killing dockerd")?;
        self.dockerd.wait().context("awaiting dockerd's end")?;
        // Its containerd ends as well. We are process 1 in these namespaces and
        // must await that end: the next dockerd would take a zombie for a running
        // containerd.
        let file = "/run/docker/containerd/containerd.pid";
        let id = fs::read_to_string(file).unwrap_or_default();
        let id = processes::id_of(&id);
        wait_until(Duration::from_secs(5), || match id {
            Some(_) => match waitpid(id, WaitOptions::NOHANG) {
                Ok(None) => None,
                Ok(Some(_)) | Err(_) => Some(()),
            },
            None => Some(()),
        });
        Ok(())
    }

    /// Starts dockerd again, if it has ended.
    ///
    /// # Errors
    /// When dockerd does not answer in time: the error has the end of its log.
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
            bail!("the private dockerd did not start: {}", lines.join(" | "));
        }
        Ok(())
    }

    fn stop(&mut self) {
        // After SIGTERM, dockerd stops its containers in good order. The end of
        // the namespaces would kill them.
        let _ = kill_process(Pid::from_child(&self.dockerd), Signal::TERM);
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

/// Starts a dockerd whose data is in the folder of its log.
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

/// Restarts the private dockerd or that of the sandbox. The machine's own is never
/// restarted. Returns whether a dockerd was restarted.
///
/// # Errors
/// When dockerd does not answer in time.
pub fn restart(private: Option<&mut Private>) -> Result<bool> {
    match private {
        Some(private) => private.restart()?,
        None if in_sandbox() => {
            let restarted = play("toolbox-init restart", RESTART)?;
            let good = restarted.status.is_some_and(|status| status.success());
            ensure!(good, "toolbox-init restart: {}", restarted.output.trim());
        }
        None => return Ok(false),
    }
    Ok(true)
}

/// Runs a command that must succeed.
///
/// # Errors
/// When the command fails: the error has its output.
pub(crate) fn must(command: &str) -> Result<()> {
    let played = play(command, PATIENCE)?;
    ensure!(
        played.status.is_some_and(|status| status.success()),
        "{command}: {}",
        played.output.trim()
    );
    Ok(())
}
