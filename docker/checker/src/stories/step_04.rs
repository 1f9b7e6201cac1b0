//! Step 4 in a real Docker: containers read and write a volume's files.

use stand_in::finding::Outcome;

use super::{Scene, Stage};

pub const SCENES: &[Scene] = &[
    Scene {
        id: "4.docker-write",
        step: 4,
        name: "a container writes a file into a new volume",
        why: "`docker run -v` creates the volume, mounts it, and unmounts it \
              when the container ends",
        file: "src/volumes.rs",
        place: "TODO 4.2, TODO 4.3",
        source: "vol-run-named 1",
        run: write,
    },
    Scene {
        id: "4.docker-read",
        step: 4,
        name: "another container reads the file",
        why: "files stay after the container that wrote them has ended",
        file: "src/volumes.rs",
        place: "TODO 4.3",
        source: "vol-run-named 3",
        run: read,
    },
    Scene {
        id: "4.docker-two",
        step: 4,
        name: "two containers share a file while both run",
        why: "each container's Mount has its own ID, and all get the same \
              directory",
        file: "src/volumes.rs",
        place: "TODO 4.3",
        source: "vol-two-containers",
        run: two,
    },
    Scene {
        id: "4.docker-cp",
        step: 4,
        name: "after `docker cp`, a running container still has its files",
        why: "`docker cp` mounts and unmounts with the container's own ID",
        file: "src/volumes.rs",
        place: "`unmount`",
        source: "vol-cp 1-3",
        run: cp,
    },
    Scene {
        id: "4.docker-from",
        step: 4,
        name: "`--volumes-from` gives the volume to another container",
        why: "for the plugin, this is one more Mount",
        file: "src/volumes.rs",
        place: "TODO 4.3",
        source: "vol-mount-flag 4",
        run: volumes_from,
    },
    Scene {
        id: "4.docker-in-use",
        step: 4,
        name: "a volume in use cannot be removed",
        why: "Docker refuses, and sends no Remove while a container has the \
              volume",
        file: "src/volumes.rs",
        place: "TODO 4.4",
        source: "vol-run-named 5",
        run: in_use,
    },
    Scene {
        id: "4.docker-copy-up",
        step: 4,
        name: "Docker copies the image's files into a new volume",
        why: "for the copy, Docker mounts the volume before the container starts",
        file: "src/volumes.rs",
        place: "TODO 4.3",
        source: "vol-copy-up 1, 4",
        run: copy_up,
    },
    Scene {
        id: "4.docker-anonymous",
        step: 4,
        name: "an anonymous volume is removed with its container",
        why: "`--rm` removes anonymous volumes, and keeps volumes with a name",
        file: "src/volumes.rs",
        place: "TODO 4.4",
        source: "vol-rm-v 9, 11",
        run: anonymous,
    },
    Scene {
        id: "4.docker-rm",
        step: 4,
        name: "`docker volume rm` removes the files as well",
        why: "a new volume with the same name must be empty",
        file: "src/volumes.rs",
        place: "TODO 4.4",
        source: "vol-run-named 6",
        run: rm,
    },
];

fn write(stage: &mut Stage) -> Outcome {
    stage.bring_image()?;
    stage.start()?;
    stage
        .types(
            "docker run --rm -v demo:/data --volume-driver workshop busybox \
             sh -c 'echo hi > /data/f'",
        )?
        .works(&[])
}

fn read(stage: &mut Stage) -> Outcome {
    stage
        .types("docker run --rm -v demo:/data busybox cat /data/f")?
        .works(&["hi"])
}

fn two(stage: &mut Stage) -> Outcome {
    stage
        .types(
            "docker run -d --name workshop-one -v demo:/data busybox \
             sleep 1000",
        )?
        .works(&[])?;
    stage
        .types(
            "docker run --rm -v demo:/data busybox \
             sh -c 'echo there > /data/g'",
        )?
        .works(&[])?;
    stage.types("docker exec workshop-one cat /data/g")?.works(&["there"])
}

fn cp(stage: &mut Stage) -> Outcome {
    stage
        .types("docker cp workshop-one:/data/f - | tar -xO")?
        .works(&["hi"])?;
    stage.types("docker exec workshop-one cat /data/f")?.works(&["hi"])
}

fn volumes_from(stage: &mut Stage) -> Outcome {
    stage
        .types(
            "docker run --rm --volumes-from workshop-one busybox \
             cat /data/g",
        )?
        .works(&["there"])
}

fn in_use(stage: &mut Stage) -> Outcome {
    stage.types("docker volume rm demo")?.fails(&["volume is in use"])?;
    stage.types("docker rm -f workshop-one")?.works(&[])
}

fn copy_up(stage: &mut Stage) -> Outcome {
    stage
        .types(
            "docker run --rm -v copied:/bin --volume-driver workshop busybox \
             true",
        )?
        .works(&[])?;
    stage
        .types("docker run --rm -v copied:/data busybox ls /data/busybox")?
        .works(&["/data/busybox"])
}

fn anonymous(stage: &mut Stage) -> Outcome {
    stage
        .types(
            "docker run --rm -v /data --volume-driver workshop busybox \
             touch /data/f",
        )?
        .works(&[])?;
    stage
        .types("docker volume ls -q -f driver=workshop")?
        .works(&["copied\ndemo\n"])
}

fn rm(stage: &mut Stage) -> Outcome {
    stage.types("docker volume rm demo copied")?.works(&["demo", "copied"])?;
    stage
        .types(
            "docker run --rm -v demo:/data --volume-driver workshop busybox \
             ls /data",
        )?
        .works_without(&["f", "g"])
}
