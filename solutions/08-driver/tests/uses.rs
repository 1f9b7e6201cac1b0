//! Replays the calls that three generations of dockerd sent while dockerd was
//! restarted and killed: no use is lost, and Remove ends the leftover uses.

use std::path::PathBuf;

use serde_json::{Value, json};
use stand_in::daemon::Call;
use stand_in::harness::{Harness, Session};
use stand_in::mounts;
use stand_in::plugin::Program;

/// The captures, each with the calls for one volume in order.
///
/// `+A` is a Mount and `-A` an Unmount with the ID that is called A here. `!` is
/// `kill -9` of the plugin and a new start, which the test adds wherever dockerd
/// was restarted. The next sign is the expected state: `*` mounted, because a
/// container runs; `.` unmounted; `?` either, because no container runs, but
/// dockerd has forgotten a use.
const CAPTURED: &[(&str, &str)] = &[
    (
        "20.10, 26.1, 28.5: docker cp, while it runs and after",
        "+A* +A* -A* +A* -A* +A* -A* +A* -A* -A. +B. -B.",
    ),
    (
        "20.10, 26.1, 28.5: restarted, killed, with restart=always",
        "+B* -B. !. +D* !? +D* -D?",
    ),
    ("20.10, 26.1, 28.5: restarted, killed", "+A* -A. !. +E* !?"),
    ("20.10, 26.1, 28.5: not running by then", "+C* -C. !. +F* -F. !."),
    (
        "20.10: live restore, which forgets uses",
        "+A* !* +A* -A* +B* -B* +C* !* +C* -C*",
    ),
    (
        "26.1, 28.5: live restore",
        "+A* !* +A* -A* +A* -A* -A. +B* !* +B* -B* -B.",
    ),
];

fn call(session: &mut Session, method: &'static str, more: (&str, Value)) {
    let call = Call::new(method, &[("Name", json!("demo")), more]);
    session.call(&call).success("200").unwrap_or_else(|_| panic!("{call}"));
}

fn files(session: &Session) -> PathBuf {
    session.volumes().join("demo/fs")
}

fn is_mounted(session: &Session) -> bool {
    !mounts::below(&files(session)).is_empty()
}

#[test]
fn no_use_is_lost_whatever_dockerd_did() {
    if let Some(why) = mounts::missing() {
        println!("skipped: uses, as captured: {why}");
        return;
    }
    let program = env!("CARGO_BIN_EXE_solution-08").as_ref();
    for (source, calls) in CAPTURED {
        let mut harness = Harness::new(Program::new(program).unwrap());
        let mut session = harness.start().unwrap();
        let options = json!({ "type": "ext4", "size": "8m" });
        call(&mut session, "VolumeDriver.Create", ("Opts", options));
        for (count, word) in calls.split(' ').enumerate() {
            let case = format!("{source}: {word}, call {count}");
            let (what, expected) = word.split_at(word.len() - 1);
            session = match what.split_at(1) {
                ("!", _) => harness.restart(session, "kill -9").unwrap(),
                (sign, id) => {
                    let method = match sign {
                        "+" => "VolumeDriver.Mount",
                        _ => "VolumeDriver.Unmount",
                    };
                    let id = json!(id.repeat(64));
                    call(&mut session, method, ("ID", id));
                    session
                }
            };
            match expected {
                "*" => assert!(is_mounted(&session), "{case}: it is unmounted"),
                "." => {
                    // `docker cp` also mounts a volume of a stopped container.
                    let copies = what.starts_with('+');
                    assert_eq!(is_mounted(&session), copies, "{case}");
                }
                _ => {}
            }
        }
        call(&mut session, "VolumeDriver.Remove", ("Opts", Value::Null));
        let root = session.volumes();
        assert!(mounts::below(&root).is_empty(), "{source}: after Remove");
        assert!(mounts::loops(&root).is_empty(), "{source}: after Remove");
    }
}
