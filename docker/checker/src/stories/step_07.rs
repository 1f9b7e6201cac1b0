//! Step 7 in a real Docker: a second name over TCP, a slow call that does not delay
//! others, and an end that leaves no files.

use stand_in::finding::Outcome;

use super::{Scene, Stage};

pub const SCENES: &[Scene] = &[
    Scene {
        id: "7.docker-spec",
        step: 7,
        name: "a file in /etc/docker/plugins gives the plugin a second name",
        why: "the name of a plugin is the name of its socket or of such a file",
        file: "src/listener.rs",
        place: "`publish`",
        source: "discovery 3; raw wtcp",
        run: second_name,
    },
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
        name: "after SIGTERM, the plugin's socket and file are removed",
        why: "Docker waits 15 s for each of them that leads to no plugin",
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

fn second_name(stage: &mut Stage) -> Outcome {
    stage.bring_image()?;
    stage.give_second_name()?;
    stage.start()?;
    stage
        .types("docker volume create -d workshop-two demo")?
        .works(&["demo"])?;
    stage
        .types("docker volume inspect -f '{{.Driver}}' demo")?
        .works(&["workshop-two"])
}

fn slow(stage: &mut Stage) -> Outcome {
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
    stage
        .types(
            "ls /run/docker/plugins/workshop* /etc/docker/plugins/workshop*",
        )?
        .fails(&["No such file", "No such file"])
}

fn again(stage: &mut Stage) -> Outcome {
    stage.start()?;
    stage
        .types("docker volume ls -q -f driver=workshop-two")?
        .works(&["demo"])?;
    stage.types("docker volume rm demo")?.works(&["demo"])
}
