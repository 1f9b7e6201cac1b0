//! Descriptions of many kinds of machines. The folder tests/doctor has the report
//! on each of them; `RECORD=1 cargo test -p checker --lib` writes them again.

use std::{env, fs};

use super::*;

/// A Linux machine with everything, used by root.
fn everything() -> Machine {
    Machine {
        system: System::Linux,
        installer: Some(Installer::Apt),
        systemd: true,
        root: true,
        wsl: Wsl::No,
        rustup: true,
        rustc: Some("1.95.0".into()),
        cargo: Some("1.95.0".into()),
        make: Some("4.3".into()),
        node: Some("20.20.2".into()),
        npm: Some("11.19.1".into()),
        docker: answers(DaemonLocation::Here),
        plugins: true,
        dockerd: Some("/usr/sbin/dockerd".into()),
        no_private: None,
        podman: Some("4.3.1".into()),
        no_podman: None,
        loops: true,
        docker_host: None,
        mkfs: Some("/usr/sbin/mkfs.ext4".into()),
        strace: Some("/usr/bin/strace".into()),
        browser: Some("chromium".into()),
        filesystem: Some("ext4".into()),
        free: Some(77_000),
        temp: Temp { path: "/tmp".into(), trouble: None },
        course: Course { last: 8, next: Some(1), work: None, sandbox: false },
    }
}

/// The same machine, used by somebody without root.
fn user() -> Machine {
    Machine {
        root: false,
        plugins: false,
        no_private: Some("a private dockerd needs root (sudo)".into()),
        no_podman: Some("a private Podman needs root (sudo)".into()),
        ..everything()
    }
}

/// A machine that has only Rust.
fn bare() -> Machine {
    Machine {
        installer: None,
        systemd: false,
        rustup: false,
        make: None,
        node: None,
        npm: None,
        docker: Docker::NoClient,
        dockerd: None,
        podman: None,
        loops: false,
        mkfs: None,
        strace: None,
        browser: None,
        ..user()
    }
}

fn mac() -> Machine {
    Machine {
        system: System::MacOs,
        installer: Some(Installer::Brew),
        systemd: false,
        make: Some("3.81".into()),
        docker: answers(DaemonLocation::Virtual("Docker Desktop".into())),
        dockerd: None,
        loops: false,
        mkfs: None,
        strace: None,
        browser: Some("Safari".into()),
        no_private: Some("a private dockerd needs Linux".into()),
        filesystem: None,
        temp: Temp { path: "/var/folders/zz/T".into(), trouble: None },
        ..user()
    }
}

fn answers(location: DaemonLocation) -> Docker {
    Docker::Answers {
        client: "28.5.2".into(),
        server: "28.5.2".into(),
        api: "1.51".into(),
        location,
    }
}

fn course(sandbox: bool, next: Option<u32>) -> Course {
    Course { sandbox, next, ..everything().course }
}

fn machines() -> Vec<(&'static str, Machine)> {
    vec![
        ("everything", everything()),
        ("nothing-but-rust", bare()),
        (
            "old-rust",
            Machine {
                rustc: Some("1.63.0".into()),
                cargo: Some("1.65.0".into()),
                rustup: false,
                ..user()
            },
        ),
        (
            "old-rust-of-rustup",
            Machine { rustc: Some("1.88.0".into()), ..everything() },
        ),
        ("no-rust", Machine { rustc: None, cargo: None, ..user() }),
        ("user", user()),
        (
            "begun",
            Machine {
                course: Course {
                    work: Some("4.1 done, 4.2 next".into()),
                    ..course(false, Some(4))
                },
                ..user()
            },
        ),
        (
            "user-with-sandbox",
            Machine { course: course(true, Some(3)), ..user() },
        ),
        (
            "not-in-group",
            Machine {
                docker: Docker::Locked {
                    client: "28.5.2".into(),
                    socket: "/var/run/docker.sock".into(),
                    group: Some("docker".into()),
                },
                ..user()
            },
        ),
        (
            "client-without-daemon",
            Machine {
                docker: Docker::NoDaemon {
                    client: "28.5.2".into(),
                    why: "Cannot connect to the Docker daemon at \
                          unix:///var/run/docker.sock"
                        .into(),
                },
                systemd: false,
                installer: Some(Installer::Apk),
                ..everything()
            },
        ),
        (
            "dead-docker-host",
            Machine {
                docker: Docker::NoDaemon {
                    client: "28.5.2".into(),
                    why: "Cannot connect to the Docker daemon at \
                          tcp://10.0.0.7:2376"
                        .into(),
                },
                docker_host: Some("tcp://10.0.0.7:2376".into()),
                ..everything()
            },
        ),
        (
            "ranges-apart",
            Machine {
                docker: Docker::Apart {
                    client: "20.10.24".into(),
                    why: "client version 1.41 is too old. Minimum supported \
                          API version is 1.44"
                        .into(),
                },
                ..everything()
            },
        ),
        ("silent", Machine { docker: Docker::Silent, ..everything() }),
        (
            "podman",
            Machine {
                docker: Docker::Foreign,
                installer: Some(Installer::Dnf),
                dockerd: None,
                ..user()
            },
        ),
        (
            "rootless",
            Machine { docker: answers(DaemonLocation::Rootless), ..user() },
        ),
        (
            "docker-in-docker",
            Machine {
                docker: answers(DaemonLocation::Elsewhere("build-7".into())),
                course: course(true, None),
                ..everything()
            },
        ),
        ("desktop-on-macos", mac()),
        (
            "desktop-on-macos-stopped",
            Machine {
                docker: Docker::NoDaemon {
                    client: "28.5.2".into(),
                    why: "failed to connect to the docker API at \
                          unix:///Users/ada/.docker/run/docker.sock"
                        .into(),
                },
                browser: None,
                node: None,
                npm: None,
                ..mac()
            },
        ),
        (
            "wsl-on-mnt-c",
            Machine {
                wsl: Wsl::Windows,
                docker: Docker::NoClient,
                dockerd: None,
                browser: None,
                free: Some(1_100),
                temp: Temp {
                    path: "/mnt/c/Temp".into(),
                    trouble: Some("no sockets (not supported)".into()),
                },
                ..user()
            },
        ),
        (
            "wsl-at-home",
            Machine {
                wsl: Wsl::Home,
                docker: answers(DaemonLocation::Virtual(
                    "Docker Desktop".into(),
                )),
                npm: None,
                mkfs: None,
                ..user()
            },
        ),
    ]
}

#[test]
fn each_machine_is_told_what_it_has_and_lacks() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctor");
    for (name, machine) in machines() {
        let seen =
            anstream::adapter::strip_str(&machine.to_string()).to_string();
        let golden = format!("{folder}/{name}.txt");
        if env::var_os("RECORD").is_some() {
            fs::write(&golden, &seen).unwrap();
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        assert_eq!(seen, expected, "{name}; see tests/doctor/{name}.txt");
    }
}

#[test]
fn every_report_ends_with_one_verdict_and_one_command() {
    for (name, machine) in machines() {
        let text = machine.to_string();
        let verdicts =
            text.lines().filter(|line| line.starts_with("this machine:"));
        assert_eq!(verdicts.count(), 1, "{name}");
        assert!(text.lines().last().unwrap().starts_with("Next: "), "{name}");
    }
}

#[test]
fn only_a_missing_or_old_rust_is_a_failure() {
    for (name, machine) in machines() {
        let expected = !name.contains("old-rust") && name != "no-rust";
        assert_eq!(machine.builds(), expected, "{name}");
    }
}

#[test]
fn each_answer_of_the_docker_client_is_recognised() {
    const CLIENT: &str = r#"{"Client":{"Version":"28.2.2","ApiVersion":"1.50"},
        "Server":null}"#;
    // The client's output, its errors, and the state that they mean.
    let cases = [
        (
            CLIENT,
            "Cannot connect to the Docker daemon at unix:///tmp/none.sock. Is \
             the docker daemon running?",
            "NoDaemon { client: \"28.2.2\", why: \"Cannot connect to the \
             Docker daemon at unix:///tmp/none.sock\" }",
        ),
        (
            CLIENT,
            "failed to connect to the docker API at unix:///x.sock; check if \
             the path is correct and if the daemon is running: dial unix \
             /x.sock: connect: no such file or directory",
            "NoDaemon { client: \"28.2.2\", why: \"failed to connect to the \
             docker API at unix:///x.sock\" }",
        ),
        (
            CLIENT,
            "permission denied while trying to connect to the Docker daemon \
             socket at unix:///no/such.sock: Get \"http://%2Fno/v1.50/version\"\
             : dial unix /no/such.sock: connect: permission denied",
            "Locked { client: \"28.2.2\", socket: \"/no/such.sock\", group: \
             None }",
        ),
        (
            CLIENT,
            "Error response from daemon: client version 1.50 is too new. \
             Maximum supported API version is 1.41",
            "Apart { client: \"28.2.2\", why: \"client version 1.50 is too \
             new. Maximum supported API version is 1.41\" }",
        ),
        (
            CLIENT,
            "Error response from daemon: client version 1.41 is too old. \
             Minimum supported API version is 1.44, please upgrade your \
             client to a newer version",
            "Apart { client: \"28.2.2\", why: \"client version 1.41 is too \
             old. Minimum supported API version is 1.44\" }",
        ),
        (
            r#"{"Client":{"Version":"28.2.2","ApiVersion":"1.41"},
                "Server":{"Version":"20.10.24","ApiVersion":"1.41"}}"#,
            "",
            "Answers { client: \"28.2.2\", server: \"20.10.24\", api: \
             \"1.41\", location: Here }",
        ),
        (r#"{"Client":{"APIVersion":"4.3.1"}}"#, "", "Foreign"),
        ("", "Emulate Docker CLI using podman.", "Foreign"),
        ("{]", "", "Foreign"),
    ];
    for (out, err, expected) in cases {
        let seen = probe::state(out, err, || DaemonLocation::Here);
        assert_eq!(format!("{seen:?}"), expected, "{out} {err}");
    }
}

#[test]
fn the_place_of_the_daemon_is_recognised() {
    let (linux, mac) = (System::Linux, System::MacOs);
    let desktop = r#"{"Name":"docker-desktop",
        "OperatingSystem":"Docker Desktop"}"#;
    let rootless = r#"{"Name":"vm","OperatingSystem":"Debian",
        "SecurityOptions":["name=seccomp,profile=default","name=rootless"]}"#;
    let plain = r#"{"Name":"vm","OperatingSystem":"Debian",
        "SecurityOptions":null}"#;
    let virtual_ = |name: &str| DaemonLocation::Virtual(name.to_owned());
    let cases = [
        ("desktop on a Mac", desktop, mac, None, virtual_("Docker Desktop")),
        ("in WSL", desktop, linux, Some("pc"), virtual_("Docker Desktop")),
        ("Colima", plain, mac, None, virtual_("vm")),
        ("rootless", rootless, linux, Some("vm"), DaemonLocation::Rootless),
        ("here", plain, linux, Some("vm"), DaemonLocation::Here),
        ("no name to compare", plain, linux, None, DaemonLocation::Here),
        (
            "from within a container",
            plain,
            linux,
            Some("c0ffee"),
            DaemonLocation::Elsewhere("vm".to_owned()),
        ),
    ];
    for (case, info, system, host, expected) in cases {
        assert_eq!(probe::location(info, system, host), expected, "{case}");
    }
}

#[test]
fn versions_compare_as_numbers() {
    let cases = [
        ("1.89.0", (1, 89)),
        ("1.100.0", (1, 100)),
        ("1.90.0-nightly", (1, 90)),
        ("2", (2, 0)),
        ("none", (0, 0)),
    ];
    for (text, expected) in cases {
        assert_eq!(number(text), expected, "{text}");
    }
}

#[test]
fn programs_read_the_same_as_people() {
    for (machine, builds) in [(everything(), true), (bare(), true)] {
        let (json, text) = (machine.json(), machine.to_string());
        let text = anstream::adapter::strip_str(&text).to_string();
        assert_eq!(json["builds"], builds);
        let things = json["things"].as_array().unwrap();
        assert_eq!(things.len(), machine.items().len());
        for thing in things {
            for key in ["name", "what", "adds", "how"] {
                let words = thing[key].as_str().unwrap_or_default();
                assert!(text.contains(words), "{thing}");
            }
            assert_eq!(thing["how"].is_null(), thing["has"] == true, "{thing}");
        }
        assert!(text.contains(json["verdict"].as_str().unwrap()), "{json}");
        assert!(text.contains(json["next"].as_str().unwrap()), "{json}");
    }
}
