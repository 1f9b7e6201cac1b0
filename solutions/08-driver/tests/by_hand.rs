//! Runs the commands that the README tells users to type.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use stand_in::daemon::{Call, field};
use stand_in::harness::{Harness, Session};
use stand_in::mounts;
use stand_in::plugin::Program;

/// Types, each with the size of a volume before and after.
const TYPES: &[(&str, &str, &str)] =
    &[("ext4", "64m", "128m"), ("xfs", "512m", "1g"), ("btrfs", "64m", "256m")];

fn call(
    session: &mut Session,
    method: &'static str,
    more: (&str, Value),
) -> Value {
    let call = Call::new(method, &[("Name", json!("demo")), more]);
    session.call(&call).success("200").unwrap_or_else(|_| panic!("{call}"))
}

/// Mounts the volume, and returns the path of its files.
fn mount(session: &mut Session) -> PathBuf {
    let reply = call(session, "VolumeDriver.Mount", ("ID", json!("93de")));
    let files = field(&reply, "Mountpoint").and_then(Value::as_str);
    PathBuf::from(files.expect("a Mountpoint"))
}

fn unmount(session: &mut Session) {
    call(session, "VolumeDriver.Unmount", ("ID", json!("93de")));
}

/// The bytes of the filesystem that holds `files`.
fn size(files: &Path) -> u64 {
    let stat = Command::new("stat")
        .args(["--file-system", "--format", "%b %S"])
        .arg(files)
        .output()
        .expect("stat runs");
    let text = String::from_utf8_lossy(&stat.stdout).into_owned();
    let numbers = text.split_whitespace().map(str::parse::<u64>);
    numbers.map(|it| it.expect("two numbers")).product()
}

/// The README's commands that contain this word. A line whose comment lists
/// types applies to those types only.
fn commands(word: &str, kind: &str) -> String {
    let readme = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../exercises/08-driver/README.md"
    );
    let readme = fs::read_to_string(readme).expect("the README");
    let mut blocks = readme.split("```sh\n").skip(1);
    let block = blocks.find(|it| it.contains(word)).expect("its commands");
    let lines = block.split("```").next().unwrap_or_default().lines();
    let is_type = |word: &str| TYPES.iter().any(|it| it.0 == word);
    let meant = lines.filter(|line| {
        let comment = line.split_once(" # ").map_or("", |it| it.1);
        !comment.split(", ").any(is_type)
            || comment.split(", ").any(|it| it == kind)
    });
    meant.map(|line| format!("{line}\n")).collect()
}

/// Runs them with the paths of this test.
fn run(commands: &str, session: &Session) {
    let place = session.folder().join("by-hand");
    fs::create_dir_all(&place).expect("a folder");
    let root = session.volumes().display().to_string();
    let commands = commands
        .replace("/var/lib/workshop/exercise-08", &root)
        .replace("/mnt", &place.display().to_string());
    let ran =
        Command::new("sh").args(["-ec", &commands]).output().expect("sh runs");
    assert!(ran.status.success(), "{commands}\n{ran:?}");
}

#[test]
fn a_volume_grows_as_the_readme_says() {
    if let Some(why) = mounts::missing() {
        println!("skipped: volumes that grow by hand: {why}");
        return;
    }
    let program = env!("CARGO_BIN_EXE_solution-08").as_ref();
    for (kind, before, after) in TYPES {
        let mut harness = Harness::new(Program::new(program).unwrap());
        let mut session = harness.start().unwrap();
        let options = |size: &str| json!({ "type": kind, "size": size });
        let made = [("Name", json!("demo")), ("Opts", options(before))];
        let exchange = session.call(&Call::new("VolumeDriver.Create", &made));
        match exchange.failure("") {
            Ok(said) if said.contains("apt-get install") => {
                println!("skipped: growing a volume of type {kind}: {said}");
                continue;
            }
            Ok(said) => panic!("{kind}: {said}"),
            Err(_) => {}
        }
        let files = mount(&mut session);
        let small = size(&files);
        fs::write(files.join("file"), "hi").unwrap();
        unmount(&mut session);

        run(&commands("truncate", kind).replace("128m", after), &session);

        let files = mount(&mut session);
        let large = size(&files);
        assert!(large > small * 3 / 2, "{kind}: {large} after {small} bytes");
        assert_eq!(fs::read_to_string(files.join("file")).unwrap(), "hi");
        unmount(&mut session);
        // The volume is as if it had been created with this size.
        call(&mut session, "VolumeDriver.Create", ("Opts", options(after)));
        let volume =
            call(&mut session, "VolumeDriver.Get", ("Opts", json!({})));
        let status = &volume["Volume"]["Status"];
        assert_eq!(status["size"], **after, "{kind}: {volume}");
        call(&mut session, "VolumeDriver.Remove", ("Opts", Value::Null));
    }
}

#[test]
fn a_filesystem_remembers_its_mount_options_as_the_readme_says() {
    if let Some(why) = mounts::missing() {
        println!("skipped: mount options by hand: {why}");
        return;
    }
    let program = env!("CARGO_BIN_EXE_solution-08").as_ref();
    let mut harness = Harness::new(Program::new(program).unwrap());
    let mut session = harness.start().unwrap();
    let options = json!({ "size": "64m" });
    call(&mut session, "VolumeDriver.Create", ("Opts", options));
    run(&commands("tune2fs", "ext4"), &session);
    let files = mount(&mut session);
    let files = files.canonicalize().unwrap();
    let table = fs::read_to_string("/proc/mounts").unwrap();
    let has = |line: &&str| {
        let place = line.split(' ').nth(1).unwrap_or_default();
        files.starts_with(place) && line.contains("commit=60")
    };
    assert!(table.lines().any(|line| has(&line)), "{table}");
    unmount(&mut session);
    call(&mut session, "VolumeDriver.Remove", ("Opts", Value::Null));
}
