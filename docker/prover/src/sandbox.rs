//! The plugin as an image, which `make test` runs in the sandbox.

use std::env;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use checker::dockerd::{self, PATIENCE, play};
use stand_in::steps;

use crate::counts::Counts;

/// The time for a build. In the worst case there is no cache.
const BUILD: Duration = Duration::from_secs(600);

/// The image's name in the machine's own Docker, during the test.
const IMAGE: &str = "workshop-plugin:test";

/// Why the sandbox cannot be used; `None` if it can. `make test` builds its image of
/// some hundred megabytes only if `REQUIRE` names docker.
pub fn missing(root: &Path) -> Option<String> {
    if dockerd::in_sandbox() {
        return None;
    }
    if let Err(err) = dockerd::version() {
        return Some(format!("{err:#}"));
    }
    let required = env::var("REQUIRE").unwrap_or_default();
    if required.split_whitespace().any(|word| word == "docker") {
        return None;
    }
    let name = format!("sh '{}/docker/sandbox.sh' name", root.display());
    let image = play(&name, PATIENCE).ok()?;
    let known = play(
        &format!("docker image inspect {}", image.output.trim()),
        PATIENCE,
    )
    .ok()?;
    match known.status.is_some_and(|status| status.success()) {
        true => None,
        false => Some("its image is not built yet (make sandbox)".to_owned()),
    }
}

/// Runs command lines one after the other, up to the first that fails or does not
/// print its word. Each line has a time limit.
fn play_lines(lines: &[(String, Duration, &str)]) -> Result<Counts> {
    let mut counts = Counts::default();
    for (line, patience, word) in lines {
        let played = play(line, *patience)?;
        let good = played.status.is_some_and(|status| status.success());
        if good && played.output.contains(word) {
            counts.passed += 1;
            continue;
        }
        println!("FAIL  {line}\n  got {}", played.output.trim());
        counts.failed += 1;
        break;
    }
    Ok(counts)
}

/// Tests `make sandbox-restart` without a sandbox and with a running one.
///
/// # Errors
/// When no shell can be started.
pub fn restart(root: &Path) -> Result<Counts> {
    println!("\n== Docker: make sandbox-restart");
    if dockerd::in_sandbox() {
        let skipped = "docker: make sandbox-restart: it works only outside of \
                       the sandbox";
        let skipped = vec![skipped.to_owned()];
        return Ok(Counts { skipped, ..Counts::default() });
    }
    let script = |words: &str| {
        format!("(cd '{}' && sh docker/sandbox.sh {words})", root.display())
    };
    let daemons = "run sh -c 'echo dockerds: $(pgrep -c -x dockerd)'";
    let answers = "run docker version --format 'server {{.Server.Os}}'";
    let lines = [
        (script("rm"), PATIENCE, "removed"),
        (script("restart"), BUILD, ""),
        (script(answers), PATIENCE, "server linux"),
        (script(daemons), PATIENCE, "dockerds: 1"),
        (script("restart"), BUILD, ""),
        (script(answers), PATIENCE, "server linux"),
        (script(daemons), PATIENCE, "dockerds: 1"),
    ];
    let counts = play_lines(&lines)?;
    if counts.failed == 0 {
        println!("ok    without a sandbox, and with a running one");
    }
    Ok(counts)
}

/// Builds the plugin as an image with the machine's own Docker, and uses it in the
/// sandbox's Docker.
///
/// # Errors
/// When no shell can be started.
pub fn image(root: &Path) -> Result<Counts> {
    println!("\n== Docker: the plugin as an image");
    let mut counts = Counts::default();
    if dockerd::in_sandbox() {
        counts.skipped.push(
            "docker: the plugin as an image: only a Docker with BuildKit, \
             outside of the sandbox, can build it"
                .to_owned(),
        );
        return Ok(counts);
    }
    let steps = steps::all(root)?;
    let step = steps.iter().find(|step| step.number == 4);
    let Some(step) = step else { return Ok(counts) };
    let root = root.display();
    let base = match env::var("BASE") {
        Ok(base) => format!("--build-arg BASE='{base}'"),
        Err(_) => String::new(),
    };
    let inside = |command: &str| {
        format!("(cd '{root}' && sh docker/sandbox.sh run {command})")
    };
    let lines = [
        (
            format!(
                "cd '{root}' && DOCKER_BUILDKIT=1 docker build --quiet {base} \
                 --build-arg STEP={:02} --file docker/plugin.Dockerfile --tag \
                 {IMAGE} .",
                step.number
            ),
            BUILD,
            "sha256:",
        ),
        (
            format!("docker save {IMAGE} | {}", inside("docker load --quiet")),
            BUILD,
            IMAGE,
        ),
        (
            inside(&format!(
                "docker run --detach --name workshop-image \
                 -v /run/docker/plugins:/run/docker/plugins \
                 -v /var/lib/workshop:/var/lib/workshop {IMAGE}"
            )),
            PATIENCE,
            "",
        ),
        (
            inside(
                "docker run --rm -v image-demo:/data --volume-driver workshop \
                 busybox sh -c 'echo from-an-image > /data/f'",
            ),
            PATIENCE,
            "",
        ),
        (
            inside("docker run --rm -v image-demo:/data busybox cat /data/f"),
            PATIENCE,
            "from-an-image",
        ),
    ];
    counts.add(play_lines(&lines)?);
    if counts.failed == 0 {
        println!("ok    {} steps from the Dockerfile to a file", lines.len());
    }
    let tidy = "sh -c 'docker volume rm -f image-demo; docker rm -f \
                workshop-image; docker image rm workshop-plugin:test'";
    let _ = play(&inside(tidy), PATIENCE);
    let _ = play(&format!("docker image rm {IMAGE}"), PATIENCE);
    Ok(counts)
}
