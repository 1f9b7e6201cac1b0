//! Step 3 in a real Docker: create, ls, inspect and rm all work.

use stand_in::finding::Outcome;

use super::{Scene, Stage};

pub const SCENES: &[Scene] = &[
    Scene {
        id: "3.docker-ls",
        step: 3,
        name: "`docker volume ls` lists a created volume",
        why: "Docker calls List, and shows the volumes in the answer",
        file: "src/volumes.rs",
        place: "TODO 3.1, TODO 3.3",
        source: "vol-create-inspect-ls-rm 1, 7",
        run: ls,
    },
    Scene {
        id: "3.docker-inspect",
        step: 3,
        name: "`docker volume inspect` finds the volume",
        why: "Docker calls Get, and uses the name in the answer",
        file: "src/volumes.rs",
        place: "TODO 3.2",
        source: "vol-create-inspect-ls-rm 6",
        run: inspect,
    },
    Scene {
        id: "3.docker-taken",
        step: 3,
        name: "another driver cannot create a volume with the same name",
        why: "the name of a volume is unique among all drivers",
        file: "src/volumes.rs",
        place: "TODO 3.2",
        source: "vol-create-inspect-ls-rm 5",
        run: taken,
    },
    Scene {
        id: "3.docker-rm",
        step: 3,
        name: "`docker volume rm` removes the volume for good",
        why: "a removed volume must not be in the next answer to List",
        file: "src/volumes.rs",
        place: "TODO 3.4",
        source: "vol-create-inspect-ls-rm 10-11",
        run: rm,
    },
    Scene {
        id: "3.docker-anonymous",
        step: 3,
        name: "Docker makes up a name for a volume without one",
        why: "64 hexadecimal digits are a valid name",
        file: "src/volumes.rs",
        place: "TODO 3.1",
        source: "vol-create-inspect-ls-rm 13",
        run: anonymous,
    },
];

fn ls(stage: &mut Stage) -> Outcome {
    stage.start()?;
    stage.types("docker volume create -d workshop demo")?.works(&["demo"])?;
    stage
        .types("docker volume ls -f driver=workshop")?
        .works(&["workshop", "demo"])
}

fn inspect(stage: &mut Stage) -> Outcome {
    stage
        .types("docker volume inspect -f '{{.Driver}} {{.Name}}' demo")?
        .works(&["workshop demo"])
}

fn taken(stage: &mut Stage) -> Outcome {
    stage.types("docker volume create demo")?.fails(&["must be unique"])
}

fn rm(stage: &mut Stage) -> Outcome {
    stage.types("docker volume rm demo")?.works(&["demo"])?;
    stage
        .types("docker volume ls -f driver=workshop")?
        .works_without(&["demo"])?;
    stage.types("docker volume inspect demo")?.fails(&["such volume"])
}

fn anonymous(stage: &mut Stage) -> Outcome {
    stage.types("docker volume create -d workshop")?.works(&[])?;
    stage
        .types("docker volume rm $(docker volume ls -q -f driver=workshop)")?
        .works(&[])
}
