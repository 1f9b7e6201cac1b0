//! Step 1 in a real Docker: the handshake succeeds, so the error comes from the
//! first call of a volume driver.

use stand_in::finding::Outcome;

use super::{Scene, Stage};

pub const SCENES: &[Scene] = &[
    Scene {
        id: "1.docker-handshake",
        step: 1,
        name: "Docker finds the plugin, and the handshake succeeds",
        why: "Docker's error names the call that failed: Plugin.Activate \
              before, VolumeDriver.Create now",
        file: "src/main.rs",
        place: "TODO 1.1",
        source: "activate-errors 11; vol-errors-create 6",
        run: handshake,
    },
    Scene {
        id: "1.docker-kill",
        step: 1,
        name: "after kill -9 and a new start, Docker finds it again",
        why: "dockerd opens a new connection, and does not repeat the handshake",
        file: "src/socket.rs",
        place: "TODO 1.2",
        source: "activate-cached 4",
        run: kill,
    },
];

const CREATE: &str = "docker volume create -d workshop demo";

fn handshake(stage: &mut Stage) -> Outcome {
    stage.start()?;
    stage.types(CREATE)?.fails(&["create demo: VolumeDriver.Create: "])
}

fn kill(stage: &mut Stage) -> Outcome {
    stage.kill();
    stage.start()?;
    stage.types(CREATE)?.fails(&["create demo: VolumeDriver.Create: "])
}
