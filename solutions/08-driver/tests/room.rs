//! A file can fill at least 80 % of a volume of any type, from the smallest size
//! on.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::Path;

use serde_json::{Value, json};
use stand_in::daemon::{Call, field};
use stand_in::harness::{Harness, Session};
use stand_in::mounts;
use stand_in::plugin::Program;

const MIB: u64 = 1 << 20;

/// Types, each with more sizes than the smallest one, in MiB. At 32 MiB,
/// ext4 has a larger journal.
const TYPES: &[(&str, &[u64])] =
    &[("ext4", &[32, 64]), ("xfs", &[]), ("btrfs", &[128])];

/// Creates a volume, and returns the error text if that fails.
fn create(
    session: &mut Session,
    name: &str,
    kind: &str,
    size: u64,
) -> Option<String> {
    let options = json!({ "type": kind, "size": format!("{size}m") });
    let fields = [("Name", json!(name)), ("Opts", options)];
    let call = Call::new("VolumeDriver.Create", &fields);
    session.call(&call).failure("").ok()
}

/// Sends a call that must succeed.
fn call(session: &mut Session, method: &'static str, name: &str) -> Value {
    let call =
        Call::new(method, &[("Name", json!(name)), ("ID", json!("93de"))]);
    session.call(&call).success("200").unwrap_or_else(|_| panic!("{call}"))
}

/// The bytes that one file can hold before the filesystem is full.
fn fill(path: &Path) -> u64 {
    let mut file = File::create(path).expect("a new file");
    let some = vec![7; 64 << 10];
    let mut taken = 0;
    loop {
        match file.write(&some) {
            Ok(count) => taken += count as u64,
            Err(err) if err.kind() == ErrorKind::StorageFull => return taken,
            Err(err) => panic!("{}: {err}", path.display()),
        }
    }
}

#[test]
fn a_file_can_fill_80_percent_of_any_size() {
    if let Some(why) = mounts::missing() {
        println!("skipped: room in volumes of each type: {why}");
        return;
    }
    let program = env!("CARGO_BIN_EXE_solution-08").as_ref();
    let mut harness = Harness::new(Program::new(program).unwrap());
    let mut session = harness.start().unwrap();
    for (kind, sizes) in TYPES {
        let said =
            create(&mut session, "none", kind, 1).expect("1m is too small");
        let least = said.split_once("write ").and_then(|(_, rest)| {
            rest.strip_suffix("m or more")?.parse::<u64>().ok()
        });
        let least = least.unwrap_or_else(|| panic!("{kind}: {said}"));
        for size in [least].iter().chain(*sizes) {
            let name = format!("{kind}-{size}");
            match create(&mut session, &name, kind, *size) {
                Some(said) if said.contains("apt-get install") => {
                    println!("skipped: room in volumes of type {kind}: {said}");
                    break;
                }
                Some(said) => panic!("{name}: {said}"),
                None => {}
            }
            let reply = call(&mut session, "VolumeDriver.Mount", &name);
            let files = field(&reply, "Mountpoint").and_then(Value::as_str);
            let taken = fill(&Path::new(files.unwrap()).join("file"));
            let share = 100 * taken / (size * MIB);
            println!("{name}: {share} %");
            assert!((80..=100).contains(&share), "{name}: {share} %");
            call(&mut session, "VolumeDriver.Unmount", &name);
            call(&mut session, "VolumeDriver.Remove", &name);
        }
    }
}
