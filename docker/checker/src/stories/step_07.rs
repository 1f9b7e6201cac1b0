//! Step 7 in a real Docker: a slow call that does not delay others, and an end that
//! leaves no socket.

use stand_in::finding::Outcome;

use super::{Scene, Stage};

pub const SCENES: &[Scene] = &[
    Scene {
        id: "7.docker-slow",
        step: 7,
        name: "`docker volume ls` answers while a large volume is removed",
        why: "`docker volume ls` asks every plugin, and waits for the slowest",
        file: "src/server.rs",
        place: "TODO 7.1",
        source: "plugin-slow 6, 7",
        run: slow,
    },
    Scene {
        id: "7.docker-stop",
        step: 7,
        name: "after SIGTERM, the plugin's socket is removed",
        why: "Docker waits 15 s for a socket that leads to no plugin",
        file: "src/stop.rs",
        place: "TODO 7.3, TODO 7.4",
        source: "plugin-missing 7, 8",
        run: stop,
    },
    Scene {
        id: "7.docker-again",
        step: 7,
        name: "after a new start, Docker works as before",
        why: "dockerd remembers the address of a name, and connects there again",
        file: "src/listener.rs",
        place: "`bind`",
        source: "activate-cached 4",
        run: again,
    },
];

fn slow(stage: &mut Stage) -> Outcome {
    stage.bring_image()?;
    stage.start()?;
    stage.types("docker volume create -d workshop demo")?.works(&["demo"])?;
    stage.types("docker volume create -d workshop large")?.works(&["large"])?;
    stage
        .types(
            "docker run --rm -v large:/data busybox \
             sh -c 'cd /data && seq 30000 | xargs touch'",
        )?
        .works(&[])?;
    stage
        .types(
            "docker volume rm large & sleep 0.1; \
             docker volume ls -q -f name=demo; wait",
        )?
        .works(&["demo", "large"])
}

fn stop(stage: &mut Stage) -> Outcome {
    stage.stop()?;
    stage.types("ls /run/docker/plugins/workshop*")?.fails(&["No such file"])
}

fn again(stage: &mut Stage) -> Outcome {
    stage.start()?;
    stage.types("docker volume ls -q -f driver=workshop")?.works(&["demo"])?;
    stage.types("docker volume rm demo")?.works(&["demo"])
}
