//! Step 9 in a real Docker: a second name over TCP, beside the socket, and an end
//! that leaves no files.

use stand_in::finding::Outcome;

use super::{Scene, Stage};

pub const SCENES: &[Scene] = &[
    Scene {
        id: "9.docker-spec",
        step: 9,
        name: "a file in /etc/docker/plugins gives the plugin a second name",
        why: "the name of a plugin is the name of its socket or of such a file",
        file: "src/spec.rs",
        place: "`publish`",
        source: "discovery 3; raw wtcp",
        run: second_name,
    },
    Scene {
        id: "9.docker-run",
        step: 9,
        name: "containers use a volume over TCP, too",
        why: "Docker's calls are the same; only the head names another Host",
        file: "src/strangers.rs",
        place: "TODO 9.4",
        source: "raw wtcp",
        run: containers,
    },
    Scene {
        id: "9.docker-stop",
        step: 9,
        name: "after SIGTERM, the plugin's socket and file are removed",
        why: "Docker waits 15 s for each of them that leads to no plugin",
        file: "src/spec.rs",
        place: "`drop`",
        source: "plugin-missing 7, 8",
        run: stop,
    },
    Scene {
        id: "9.docker-again",
        step: 9,
        name: "after a new start, Docker finds both names again",
        why: "dockerd remembers the address of a name, and connects there again",
        file: "src/door.rs",
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

fn containers(stage: &mut Stage) -> Outcome {
    stage
        .types(
            "docker run --rm -v demo:/data busybox \
             sh -c 'echo over TCP > /data/hello'",
        )?
        .works(&[])?;
    stage
        .types("docker run --rm -v demo:/data busybox cat /data/hello")?
        .works(&["over TCP"])
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
