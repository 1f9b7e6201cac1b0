//! Step 8 in a real Docker: a filesystem of its own for each volume, mounted
//! while somebody uses it.

use stand_in::finding::Outcome;

use super::{Scene, Stage};

pub const SCENES: &[Scene] = &[
    Scene {
        id: "8.docker-df",
        step: 8,
        name: "`df` in a container shows the size of the volume",
        why: "programs ask before they write",
        file: "src/filesystem.rs",
        place: "TODO 8.1, TODO 8.2",
        source: "vol-run-named 1",
        run: df,
    },
    Scene {
        id: "8.docker-full",
        step: 8,
        name: "a container that writes past the size is told so",
        why: "without a limit, one container fills the disk of all",
        file: "src/filesystem.rs",
        place: "TODO 8.2, TODO 8.3",
        source: "vol-run-named 2; write(2): ENOSPC",
        run: full,
    },
    Scene {
        id: "8.docker-options",
        step: 8,
        name: "a size that would not hold is refused",
        why: "Docker shows the Err of a Create to whoever typed it",
        file: "src/options.rs",
        place: "`agree`",
        source: "vol-errors-create 1",
        run: options,
    },
    Scene {
        id: "8.docker-again",
        step: 8,
        name: "removed and created again, a volume has its limit",
        why: "Docker's own driver forgets it, and needs project quotas",
        file: "src/filesystem.rs",
        place: "TODO 8.4",
        source: "vol-create-inspect-ls-rm 10",
        run: again,
    },
    Scene {
        id: "8.docker-shared",
        step: 8,
        name: "two containers share a filesystem, and one goes on alone",
        why: "each start of a container is one Mount, each end one Unmount",
        file: "src/filesystem.rs",
        place: "TODO 8.3",
        source: "vol-two-containers",
        run: shared,
    },
    Scene {
        id: "8.docker-cp",
        step: 8,
        name: "`docker cp` leaves a running container its files",
        why: "it mounts and unmounts with the ID of that container",
        file: "src/filesystem.rs",
        place: "TODO 8.2, TODO 8.3",
        source: "vol-cp 1-3",
        run: cp,
    },
    Scene {
        id: "8.docker-crash",
        step: 8,
        name: "after kill -9, the last container's end still unmounts",
        why: "the count is in files, and the plugin finds it there",
        file: "src/filesystem.rs",
        place: "`recover`",
        source: "plugin-dies 3-10",
        run: crash,
    },
];

/// How often the host has the volume's filesystem mounted.
const MOUNTED: &str = "grep -c demo/fs /proc/mounts";
const CREATE: &str =
    "docker volume create -d workshop -o type=ext4 -o size=64m demo";
const FILL: &str = "docker run --rm -v demo:/data busybox \
                    sh -c 'cat /dev/zero > /data/f'";

fn df(stage: &mut Stage) -> Outcome {
    stage.bring_image()?;
    stage.start()?;
    stage.types(CREATE)?.works(&["demo"])?;
    stage
        .types("docker volume inspect -f '{{json .Status}}' demo")?
        .works(&["\"size\":\"64m\"", "\"type\":\"ext4\""])?;
    stage
        .types("docker run --rm -v demo:/data busybox df -h /data")?
        .works(&["/dev/loop", "/data"])
}

fn full(stage: &mut Stage) -> Outcome {
    stage.types(FILL)?.fails(&["No space left on device"])?;
    stage.types(MOUNTED)?.fails(&["0"])
}

fn options(stage: &mut Stage) -> Outcome {
    stage
        .types(
            "docker volume create -d workshop -o type=dir -o size=64m other",
        )?
        .fails(&["create other: ", "size=64m", "type=ext4"])?;
    stage
        .types("docker volume create -d workshop -o type=ext4 other")?
        .fails(&["create other: ", "size"])
}

fn again(stage: &mut Stage) -> Outcome {
    stage.types("docker volume rm demo")?.works(&["demo"])?;
    stage.types(CREATE)?.works(&["demo"])?;
    stage.types(FILL)?.fails(&["No space left on device"])?;
    stage.types("docker run --rm -v demo:/data busybox rm /data/f")?.works(&[])
}

fn shared(stage: &mut Stage) -> Outcome {
    stage
        .types(
            "docker run -d --name workshop-one -v demo:/data busybox \
             sleep 1000",
        )?
        .works(&[])?;
    stage
        .types(
            "docker run --rm -v demo:/data busybox \
             sh -c 'echo hi > /data/f'",
        )?
        .works(&[])?;
    stage.types("docker exec workshop-one cat /data/f")?.works(&["hi"])?;
    stage.types(MOUNTED)?.works(&["1"])
}

fn cp(stage: &mut Stage) -> Outcome {
    stage
        .types("docker cp workshop-one:/data/f - | tar -x -O")?
        .works(&["hi"])?;
    stage.types(MOUNTED)?.works(&["1"])?;
    stage.types("docker exec workshop-one cat /data/f")?.works(&["hi"])
}

fn crash(stage: &mut Stage) -> Outcome {
    stage.kill();
    stage.types("docker exec workshop-one cat /data/f")?.works(&["hi"])?;
    stage.start()?;
    stage.types("docker rm -f workshop-one")?.works(&[])?;
    stage.types(MOUNTED)?.fails(&["0"])?;
    stage
        .types("docker run --rm -v demo:/data busybox cat /data/f")?
        .works(&["hi"])?;
    stage.types("docker volume rm demo")?.works(&["demo"])
}
