//! Step 8 in a real Docker: each volume has its own filesystem, which is mounted
//! while a container uses it.

use stand_in::finding::Outcome;

use super::{Scene, Stage};

pub const SCENES: &[Scene] = &[
    Scene {
        id: "8.docker-df",
        step: 8,
        name: "`df` in a container shows the size of the volume",
        why: "programs ask for the free space before they write",
        file: "src/filesystem.rs",
        place: "TODO 8.1, TODO 8.2",
        source: "vol-run-named 1",
        run: df,
    },
    Scene {
        id: "8.docker-full",
        step: 8,
        name: "a container that writes more than the size gets an error",
        why: "without a limit, one container fills the disk of all",
        file: "src/filesystem.rs",
        place: "TODO 8.2, TODO 8.3",
        source: "vol-run-named 2; write(2): ENOSPC",
        run: full,
    },
    Scene {
        id: "8.docker-options",
        step: 8,
        name: "a size that the type cannot enforce is refused",
        why: "Docker shows the user the Err of a Create",
        file: "src/options.rs",
        place: "`validate`",
        source: "vol-errors-create 1",
        run: options,
    },
    Scene {
        id: "8.docker-again",
        step: 8,
        name: "a volume that is removed and created again has its limit",
        why: "Docker's own driver forgets the limit, and needs project quotas",
        file: "src/filesystem.rs",
        place: "TODO 8.4",
        source: "vol-create-inspect-ls-rm 10",
        run: again,
    },
    Scene {
        id: "8.docker-shared",
        step: 8,
        name: "two containers share a filesystem, and one continues alone",
        why: "each container sends one Mount at its start and one Unmount at \
              its end",
        file: "src/filesystem.rs",
        place: "TODO 8.3",
        source: "vol-two-containers",
        run: shared,
    },
    Scene {
        id: "8.docker-cp",
        step: 8,
        name: "after `docker cp`, a running container still has its files",
        why: "`docker cp` mounts and unmounts with the ID of that container",
        file: "src/filesystem.rs",
        place: "TODO 8.2, TODO 8.3",
        source: "vol-cp 1-3",
        run: cp,
    },
    Scene {
        id: "8.docker-crash",
        step: 8,
        name: "after kill -9, the end of the last container still unmounts",
        why: "the plugin reads the uses from files at its start",
        file: "src/filesystem.rs",
        place: "`recover`",
        source: "plugin-dies 3-10",
        run: crash,
    },
    Scene {
        id: "8.docker-namespaces",
        step: 8,
        name: "an unmount on the host takes no files from a container",
        why: "a container has mounts of its own, which outlive those of the host",
        file: "src/filesystem.rs",
        place: "TODO 8.4",
        source: "mount_namespaces(7)",
        run: namespaces,
    },
];

/// Prints how often the volume's filesystem is mounted on the host.
const MOUNTED: &str = "grep -c demo/fs /proc/mounts";
const CREATE: &str =
    "docker volume create -d workshop -o type=ext4 -o size=64m demo";
const FILL: &str = "docker run --rm -v demo:/data busybox \
                    sh -c 'cat /dev/zero > /data/f'";

const START: &str =
    "docker run -d --name workshop-one -v demo:/data busybox sleep 1000";

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
    stage.types(START)?.works(&[])?;
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

fn namespaces(stage: &mut Stage) -> Outcome {
    stage.types(CREATE)?.works(&["demo"])?;
    stage
        .types(
            "docker run --rm -v demo:/data busybox \
             sh -c 'echo hi > /data/f'",
        )?
        .works(&[])?;
    stage.types(START)?.works(&[])?;
    stage
        .types("findmnt -rn -o FSTYPE,PROPAGATION,TARGET | grep demo/fs")?
        .works(&["ext4"])?;
    stage
        .types(&format!(
            "findmnt -rn -o FSTYPE,PROPAGATION,TARGET -N $({PROCESS}) /data"
        ))?
        .works(&["ext4", "/data"])?;
    stage.types("umount $(findmnt -rn -o TARGET | grep demo/fs)")?.works(&[])?;
    stage.types(MOUNTED)?.fails(&["0"])?;
    stage
        .types(&format!("nsenter -m -t $({PROCESS}) cat /data/f"))?
        .works(&["hi"])?;
    stage.types("docker rm -f workshop-one")?.works(&[])?;
    stage.types("docker volume rm demo")?.works(&["demo"])
}

/// Prints the id of the container's process.
const PROCESS: &str = "docker inspect -f {{.State.Pid}} workshop-one";
