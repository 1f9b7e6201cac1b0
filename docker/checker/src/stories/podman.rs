//! Steps 4 and 8 with a real Podman, which takes every answer of status 200 for a
//! success.

use std::fs;
use std::path::PathBuf;

use stand_in::finding::{Fault, Outcome};

use super::{Scene, Stage};
use crate::dockerd::must;

pub const STEP_4: &[Scene] = &[
    Scene {
        id: "4.podman-create",
        step: 4,
        name: "`podman volume create` and `podman volume ls` use the plugin",
        why: "Podman calls Get for each volume that it lists",
        file: "src/volumes.rs",
        place: "TODO 4.2",
        source: "podman/vol-create-inspect-ls-rm 2, 5, 6",
        run: create,
    },
    Scene {
        id: "4.podman-files",
        step: 4,
        name: "a file stays after its container, and two containers share it",
        why: "Podman sends one Mount for all containers that use a volume",
        file: "src/volumes.rs",
        place: "TODO 4.3",
        source: "podman/vol-create-inspect-ls-rm 7-9",
        run: files,
    },
    Scene {
        id: "4.podman-refused-create",
        step: 4,
        name: "after a refused Create, Podman has no volume",
        why: "Podman takes every 200 for a success",
        file: "src/protocol.rs",
        place: "`encode`",
        source: "podman/vol-errors-create 1-2",
        run: refused_create,
    },
    Scene {
        id: "4.podman-refused-mount",
        step: 4,
        name: "a container does not start if Mount is refused",
        why: "after a 200, the container would write to a folder of Podman's",
        file: "src/protocol.rs",
        place: "`encode`",
        source: "podman/vol-errors-mount 1-2",
        run: refused_mount,
    },
    Scene {
        id: "4.podman-refused-remove",
        step: 4,
        name: "after a refused Remove, Podman still has the volume",
        why: "after a 200, Podman would forget the volume, and its files would \
              stay",
        file: "src/protocol.rs",
        place: "`encode`",
        source: "podman 4.3.1: libpod/runtime_volume_linux.go, removeVolume",
        run: refused_remove,
    },
];

pub const STEP_8: &[Scene] = &[
    Scene {
        id: "8.podman-size",
        step: 8,
        name: "a container that writes more than the size gets an error",
        why: "the volume's filesystem must be mounted for Podman as well",
        file: "src/filesystem.rs",
        place: "TODO 8.2",
        source: "our rule: what holds in Docker holds in Podman",
        run: size,
    },
    Scene {
        id: "8.podman-option",
        step: 8,
        name: "after a refused option, Podman has no volume",
        why: "Podman takes every 200 for a success",
        file: "src/protocol.rs",
        place: "`encode`",
        source: "podman/vol-errors-create 1-2",
        run: option,
    },
    Scene {
        id: "8.podman-late-unmount",
        step: 8,
        name: "after a late answer to Unmount, no container writes to the host's \
               disk",
        why: "after 5 seconds Podman takes the volume for mounted, and sends no \
              Mount for the next container",
        file: "src/filesystem.rs",
        place: "TODO 8.3",
        source: "podman 4.3.1: libpod/volume_internal_linux.go, unmount",
        run: late_unmount,
    },
];

const LS: &str = "podman volume ls -q";
const ONE: &str = "podman run -d --name workshop-one -v demo:/data busybox \
                   sleep 1000";
const END_ONE: &str = "podman rm -f -t 0 workshop-one";
const CAT: &str = "podman run --rm -v demo:/data busybox cat /data/f";

fn create(stage: &mut Stage) -> Outcome {
    stage.start()?;
    stage
        .types("podman volume create --driver workshop demo")?
        .works(&["demo"])?;
    stage.types("podman volume ls")?.works(&["workshop", "demo"])?;
    stage
        .types(
            "podman volume inspect -f '{{.Driver}} {{.Name}} {{.Scope}}' demo",
        )?
        .works(&["workshop demo local"])
}

fn files(stage: &mut Stage) -> Outcome {
    stage
        .types(
            "podman run --rm -v demo:/data busybox \
             sh -c 'echo hi > /data/f'",
        )?
        .works(&[])?;
    stage.types(CAT)?.works(&["hi"])?;
    stage.types(ONE)?.works(&[])?;
    stage
        .types(
            "podman run --rm -v demo:/data busybox \
             sh -c 'echo there > /data/g'",
        )?
        .works(&[])?;
    stage.types("podman exec workshop-one cat /data/g")?.works(&["there"])?;
    stage.types("podman volume rm demo")?.fails(&["is being used"])?;
    stage.types(END_ONE)?.works(&[])
}

fn refused_create(stage: &mut Stage) -> Outcome {
    // A file is in the place of the volume's directory.
    fs::write(stage.volumes()?.join("taken"), "")?;
    stage
        .types("podman volume create --driver workshop taken")?
        .fails(&["/VolumeDriver.Create", "workshop: "])?;
    stage.types(LS)?.works_without(&["taken"])
}

/// The directory in which step 4 keeps the files of `demo`.
fn directory(stage: &Stage) -> Result<PathBuf, Fault> {
    Ok(stage.volumes()?.join("demo"))
}

fn refused_mount(stage: &mut Stage) -> Outcome {
    let directory = directory(stage)?;
    let away = directory.with_extension("away");
    fs::rename(&directory, &away)?;
    let result = stage.types(CAT)?;
    fs::rename(&away, &directory)?;
    result.fails(&["/VolumeDriver.Mount", "workshop: "])?;
    stage.types(CAT)?.works(&["hi"])
}

fn refused_remove(stage: &mut Stage) -> Outcome {
    const REMOVE: &str = "podman volume rm demo";
    let busy = directory(stage)?.join("busy");
    fs::create_dir(&busy)?;
    let busy = busy.display();
    // A folder on which a filesystem is mounted cannot be removed.
    must(&format!("mount -t tmpfs tmpfs '{busy}'"))?;
    let result = stage.types(REMOVE)?;
    must(&format!("umount '{busy}'"))?;
    result.fails(&["could not be removed", "workshop: "])?;
    stage.types(LS)?.works(&["demo"])?;
    stage.types(REMOVE)?.works(&["demo"])?;
    stage.types(LS)?.works_without(&["demo"])
}

fn size(stage: &mut Stage) -> Outcome {
    slow_umount(stage)?;
    stage.start()?;
    stage
        .types(
            "podman volume create --driver workshop --opt type=ext4 \
             --opt size=64m demo",
        )?
        .works(&["demo"])?;
    stage
        .types("podman volume inspect -f '{{json .Status}}' demo")?
        .works(&["\"size\":\"64m\""])?;
    stage
        .types("podman run --rm -v demo:/data busybox df -h /data")?
        .works(&["/dev/loop", "/data"])?;
    stage
        .types(
            "podman run --rm -v demo:/data busybox \
             sh -c 'cat /dev/zero > /data/f'",
        )?
        .fails(&["No space left on device"])?;
    stage
        .types(
            "podman run --rm -v demo:/data busybox \
             sh -c 'echo hi > /data/f'",
        )?
        .works(&[])
}

fn option(stage: &mut Stage) -> Outcome {
    stage
        .types("podman volume create --driver workshop --opt mdoe=0750 other")?
        .fails(&["/VolumeDriver.Create", "mdoe"])?;
    stage.types(LS)?.works_without(&["other"])
}

/// Gives the plugin an `umount` that takes 7 seconds while the file `umount.slow`
/// exists beside it.
fn slow_umount(stage: &mut Stage) -> Outcome {
    let folder = tools(stage)?;
    fs::create_dir(&folder)?;
    let script = folder.join("umount");
    fs::write(
        &script,
        "#!/bin/sh\n\
         if [ -e \"$0.slow\" ]; then sleep 7; fi\n\
         PATH=${PATH#*:} exec umount \"$@\"\n",
    )?;
    must(&format!("chmod 755 '{}'", script.display()))?;
    stage.run_before_plugin(&format!("PATH='{}':$PATH", folder.display()));
    Ok(())
}

/// The folder of the slow `umount`, beside ROOT.
fn tools(stage: &Stage) -> Result<PathBuf, Fault> {
    Ok(stage.volumes()?.with_file_name("tools"))
}

fn late_unmount(stage: &mut Stage) -> Outcome {
    let slow = tools(stage)?.join("umount.slow");
    stage.types(ONE)?.works(&[])?;
    fs::write(&slow, "")?;
    // Two Podman processes may send this Unmount, so the output differs between
    // runs.
    stage.types(&format!("{END_ONE} >/dev/null 2>&1 || true"))?.works(&[])?;
    fs::remove_file(&slow)?;
    // Wait for the end of the slow umount.
    stage.awaits("grep -c demo/ /proc/mounts || true", &["0"])?;
    let result = stage.types(
        "podman run --rm -v demo:/data busybox \
         sh -c 'echo lost > /data/g'",
    )?;
    result.fails(&[])?;
    stage.types("podman volume unmount demo")?.works(&[])?;
    stage.types(CAT)?.works(&["hi"])?;
    stage.types("podman volume rm demo")?.works(&["demo"])
}
