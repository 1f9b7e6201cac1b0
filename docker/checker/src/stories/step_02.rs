//! Step 2 in a real Docker: Create is answered, and Docker shows our words.

use stand_in::finding::Outcome;

use super::{Scene, Stage};

pub const SCENES: &[Scene] = &[
    Scene {
        id: "2.docker-create",
        step: 2,
        name: "`docker volume create` succeeds",
        why: "Create is the first call that changes something",
        file: "src/protocol.rs",
        place: "TODO 2.1",
        source: "vol-create-inspect-ls-rm 1",
        run: create,
    },
    Scene {
        id: "2.docker-ls",
        step: 2,
        name: "`docker volume ls` asks the plugin, and ends at once",
        why: "each `docker volume ls` asks every driver that Docker knows",
        file: "src/protocol.rs",
        place: "TODO 2.1",
        source: "vol-create-inspect-ls-rm 7",
        run: ls,
    },
    Scene {
        id: "2.docker-error",
        step: 2,
        name: "Docker shows the plugin's own words for a failed Create",
        why: "the user sees nothing else; for Get, List and Unmount Docker \
              does not show them",
        file: "src/protocol.rs",
        place: "TODO 2.3",
        source: "vol-errors-create 1; vol-errors-names 1-4",
        run: error,
    },
];

fn create(stage: &mut Stage) -> Outcome {
    stage.start()?;
    stage.types("docker volume create -d workshop demo")?.works(&["demo"])
}

fn ls(stage: &mut Stage) -> Outcome {
    stage.types("docker volume ls -f driver=workshop")?.works(&["DRIVER"])
}

fn error(stage: &mut Stage) -> Outcome {
    stage
        .types("docker volume create -d workshop ../etc")?
        .fails(&["create ../etc: ", "a name must not contain /"])
}
