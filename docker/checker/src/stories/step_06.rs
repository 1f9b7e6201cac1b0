//! Step 6 in a real Docker: after a kill of the plugin and a restart of dockerd,
//! containers and volumes continue as before.

use stand_in::finding::Outcome;

use super::{Scene, Stage};

pub const SCENES: &[Scene] = &[
    Scene {
        id: "6.docker-killed",
        step: 6,
        name: "a container keeps running while the plugin is dead",
        why: "its files are mounted, and reading them needs no call",
        file: "src/volumes.rs",
        place: "TODO 6.2",
        source: "vol-restart-kill 3",
        run: killed,
    },
    Scene {
        id: "6.docker-back",
        step: 6,
        name: "after kill -9 and a new start, Docker finds the volume again",
        why: "Docker sends no handshake and no Create, as if the plugin had \
              never ended",
        file: "src/volumes.rs",
        place: "TODO 6.2",
        source: "vol-restart-kill 4",
        run: back,
    },
    Scene {
        id: "6.docker-restart",
        step: 6,
        name: "after a restart of dockerd, volume and container are back",
        why: "at its start, dockerd mounts the volumes of its containers",
        file: "src/volumes.rs",
        place: "`mount`",
        source: "vol-dockerd-restart 1-4",
        run: restart,
    },
    Scene {
        id: "6.docker-gone",
        step: 6,
        name: "a removed volume is still gone after kill -9",
        why: "`docker volume ls` shows the volumes in the answer to List",
        file: "src/volumes.rs",
        place: "TODO 6.4",
        source: "vol-restart-kill 4",
        run: gone,
    },
    Scene {
        id: "6.docker-unreadable",
        step: 6,
        name: "a volume with an unreadable file is moved aside, alone",
        why: "for Docker it is gone, and the name can be used again",
        file: "src/volumes.rs",
        place: "TODO 6.3",
        source: "our rule; Docker takes a failed Get for no such volume",
        run: unreadable,
    },
];

const LIST: &str = "docker volume ls -q -f driver=workshop";

fn killed(stage: &mut Stage) -> Outcome {
    stage.bring_image()?;
    stage.start()?;
    stage
        .types("docker volume create -d workshop -o mode=750 demo")?
        .works(&["demo"])?;
    stage
        .types(
            "docker run -d --restart always --stop-signal KILL \
             --name workshop-one -v demo:/data busybox \
             sh -c 'date >> /data/starts; sleep 1000'",
        )?
        .works(&[])?;
    stage
        .types(
            "docker run --rm -v demo:/data busybox \
             sh -c 'echo hi > /data/f'",
        )?
        .works(&[])?;
    stage.kill();
    stage.types("docker exec workshop-one cat /data/f")?.works(&["hi"])
}

fn back(stage: &mut Stage) -> Outcome {
    stage.start()?;
    stage.types(LIST)?.works(&["demo"])?;
    stage
        .types("docker volume inspect -f '{{json .Status}}' demo")?
        .works(&["\"mode\":\"0750\""])?;
    stage
        .types("docker run --rm -v demo:/data busybox cat /data/f")?
        .works(&["hi"])
}

fn restart(stage: &mut Stage) -> Outcome {
    stage.restart_docker()?;
    stage.types(LIST)?.works(&["demo"])?;
    let starts = "docker exec workshop-one wc -l /data/starts";
    stage.awaits(starts, &["2 /data/starts"])
}

fn gone(stage: &mut Stage) -> Outcome {
    stage.types("docker rm -f workshop-one")?.works(&[])?;
    stage.types("docker volume rm demo")?.works(&["demo"])?;
    stage.kill();
    stage.start()?;
    stage.types(LIST)?.works_without(&["demo"])
}

fn unreadable(stage: &mut Stage) -> Outcome {
    stage.types("docker volume create -d workshop demo")?.works(&["demo"])?;
    stage.types("docker volume create -d workshop other")?.works(&["other"])?;
    stage.spoil("demo/volume.json")?;
    // List reads no such file, so the next command shows both volumes.
    stage.types(LIST)?.works(&["demo", "other"])?;
    stage.types("docker volume inspect demo")?.fails(&["such volume"])?;
    stage.types(LIST)?.works_without(&["demo"])?;
    stage.types("docker volume create -d workshop demo")?.works(&["demo"])?;
    stage.types("docker volume rm demo other")?.works(&["demo", "other"])
}
