//! Step 5 in a real Docker: options, their values in `docker volume inspect`, and
//! errors that help.

use stand_in::finding::Outcome;

use super::{Scene, Stage};

pub const SCENES: &[Scene] = &[
    Scene {
        id: "5.docker-options",
        step: 5,
        name: "`docker volume create -o` takes options, `inspect` shows them",
        why: "Docker passes options on unchanged, and shows the Status that the \
              plugin answers",
        file: "src/options.rs",
        place: "TODO 5.2",
        source: "vol-create-inspect-ls-rm 4; vol-errors-get 17",
        run: options,
    },
    Scene {
        id: "5.docker-created-at",
        step: 5,
        name: "`docker volume inspect` shows the time of creation",
        why: "if Docker cannot read CreatedAt, it takes the volume for missing",
        file: "src/clock.rs",
        place: "`rfc3339`",
        source: "vol-errors-get 12-17",
        run: created_at,
    },
    Scene {
        id: "5.docker-misspelled",
        step: 5,
        name: "a misspelled option is refused, and the error names the right one",
        why: "Docker shows the user the Err of a Create",
        file: "src/options.rs",
        place: "TODO 5.2",
        source: "vol-errors-create 1, 23",
        run: misspelled,
    },
    Scene {
        id: "5.docker-names",
        step: 5,
        name: "a name that breaks the rule is refused",
        why: "Docker enforces this rule for its own driver only",
        file: "src/volumes.rs",
        place: "TODO 5.1",
        source: "vol-errors-names 1-4",
        run: names,
    },
    Scene {
        id: "5.docker-mode",
        step: 5,
        name: "a container sees the mode of the directory",
        why: "Docker binds the directory itself, with its owner and mode",
        file: "src/volumes.rs",
        place: "TODO 5.3",
        source: "vol-run-named 1",
        run: mode,
    },
    Scene {
        id: "5.docker-keep",
        step: 5,
        name: "the files of a volume with keep=true stay after its removal",
        why: "Docker forgets the volume; only the plugin knows about the files",
        file: "src/volumes.rs",
        place: "TODO 5.4",
        source: "vol-create-inspect-ls-rm 10",
        run: keep,
    },
    Scene {
        id: "5.docker-twin",
        step: 5,
        name: "for a volume that the plugin forgot, Docker makes a local one",
        why: "a container starts with an empty volume of the same name, and the \
              plugin's volume cannot be created until the local one is removed",
        file: "src/volumes.rs",
        place: "`get`",
        source: "vol-errors-remove-list 17, 19; vol-create-inspect-ls-rm 5",
        run: twin,
    },
];

fn options(stage: &mut Stage) -> Outcome {
    stage.bring_image()?;
    stage.start()?;
    stage
        .types(
            "docker volume create -d workshop -o mode=750 -o keep=true demo",
        )?
        .works(&["demo"])?;
    stage.types("docker volume inspect -f '{{json .Status}}' demo")?.works(&[
        "\"keep\":\"true\"",
        "\"mode\":\"0750\"",
        "\"uid\":\"0\"",
        "\"type\":\"dir\"",
    ])
}

fn created_at(stage: &mut Stage) -> Outcome {
    stage
        .types("docker volume inspect -f '{{.CreatedAt}}' demo")?
        .works(&["20", "T", "Z"])
}

fn misspelled(stage: &mut Stage) -> Outcome {
    stage
        .types("docker volume create -d workshop -o mdoe=0750 other")?
        .fails(&["create other: ", "mdoe", "mode"])?;
    stage
        .types("docker volume create -d workshop -o mode=511 other")?
        .fails(&["create other: ", "mode=511", "quotes"])?;
    stage
        .types("docker volume create -d workshop -o keep=yes other")?
        .fails(&["create other: ", "keep"])?;
    stage
        .types("docker volume ls -q -f driver=workshop")?
        .works_without(&["other"])
}

fn names(stage: &mut Stage) -> Outcome {
    stage
        .types("docker volume create -d workshop 'my files'")?
        .fails(&["create my files: "])
}

fn mode(stage: &mut Stage) -> Outcome {
    stage
        .types("docker run --rm -v demo:/data busybox stat -c %a /data")?
        .works(&["750"])
}

fn keep(stage: &mut Stage) -> Outcome {
    stage
        .types(
            "docker run --rm -v demo:/data busybox \
             sh -c 'echo still here > /data/f'",
        )?
        .works(&[])?;
    stage.types("docker volume rm demo")?.works(&["demo"])?;
    stage.types("docker volume inspect demo")?.fails(&["such volume"])?;
    stage
        .types(
            "docker run --rm -v demo:/data --volume-driver workshop busybox \
             cat /data/f",
        )?
        .works(&["still here"])
}

fn twin(stage: &mut Stage) -> Outcome {
    stage.kill();
    stage.start()?;
    stage
        .types("docker run --rm -v demo:/data busybox touch /data/g")?
        .works(&[])?;
    stage
        .types("docker volume inspect -f '{{.Driver}}' demo")?
        .works(&["local"])?;
    stage.types("docker volume create -d workshop demo")?.fails(&["demo"])?;
    stage.types("docker volume rm demo")?.works(&["demo"])?;
    stage.types("docker volume create -d workshop demo")?.works(&["demo"])?;
    stage
        .types("docker run --rm -v demo:/data busybox cat /data/f")?
        .works(&["still here"])?;
    stage.types("docker volume rm demo")?.works(&["demo"])
}
