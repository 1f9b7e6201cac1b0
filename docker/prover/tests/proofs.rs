//! Tests of the proofs: each kind of wrong driver fails the proof that is meant to
//! find it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

// The module builds wrong plugins.
#[path = "../../checker/tests/common/mod.rs"]
mod common;

use std::path::Path;
use std::sync::LazyLock;

use checker::starters::{self, Sources};
use prover::proofs::{self, Proof, Subject};
use stand_in::finding::Fault;
use stand_in::plugin::Program;
use stand_in::steps::{self, Kind};

use common::{Workspace, root};

/// A solution with one mistake.
struct Wrong {
    step: u32,
    package: &'static str,
    /// The proof that must find the mistake: its name and what it does.
    proof: (&'static str, &'static str),
    /// The mistake, as a sentence.
    what: &'static str,
    /// File, right and wrong texts.
    changes: &'static [(&'static str, &'static str, &'static str)],
}

const VOLUMES: &str = "src/volumes.rs";
const STORE: &str = "src/store.rs";
const ROOT: &str = "src/root.rs";

static WRONG: &[Wrong] = &[
    Wrong {
        step: 6,
        package: "proof-in-place",
        proof: ("syscalls", "killed in Create, type=dir"),
        what: "it fills the volume's folder in its final place",
        changes: &[
            (
                VOLUMES,
                "let staging = self.staging_folder(&name)?;",
                "let staging = folder.clone();\n\
                 fs::create_dir_all(&folder)\n\
                     .map_err(Failure::system(\"making\", &folder))?;",
            ),
            (VOLUMES, "rename(&staging, &folder)?;", ""),
        ],
    },
    Wrong {
        step: 6,
        package: "proof-removed-in-place",
        proof: ("syscalls", "killed in Remove, type=dir"),
        what: "it removes the files one by one in the volume's place",
        changes: &[
            (VOLUMES, "rename(&folder, &removed)?;", ""),
            (
                VOLUMES,
                "if let Err(err) = remove(&removed) {",
                "if let Err(err) = remove(&folder) {",
            ),
        ],
    },
    Wrong {
        step: 6,
        package: "proof-never-tidied",
        proof: ("syscalls", "killed in Create, type=dir"),
        what: "its start does not remove the leftovers of a crash",
        changes: &[(
            VOLUMES,
            "for half in [NEW, REMOVED].map(|name| root.join(name)) {",
            "for half in [REMOVED].map(|name| root.join(name)) {",
        )],
    },
    Wrong {
        step: 6,
        package: "proof-no-sync",
        proof: (
            "power",
            "the disk's content at an instant, while clients call",
        ),
        what: "it answers before the files are on the disk",
        changes: &[
            (STORE, "file.sync_all()", "Ok(())"),
            (STORE, ".and_then(|folder| folder.sync_all())", ".map(drop)"),
        ],
    },
    Wrong {
        step: 6,
        package: "proof-file-not-synced",
        proof: (
            "power",
            "the disk's content at an instant, while clients call",
        ),
        what: "it syncs folders, but not the content of files",
        changes: &[(STORE, "file.sync_all()", "Ok(())")],
    },
    Wrong {
        step: 6,
        package: "proof-folder-not-synced",
        proof: ("power", "the same, with ROOT on a btrfs"),
        what: "it syncs a new volume's file, but not its folder `files`",
        changes: &[(VOLUMES, "    sync(&files)\n", "    Ok(())\n")],
    },
    Wrong {
        step: 6,
        package: "proof-name-not-synced",
        proof: (
            "power",
            "the disk's content at an instant, while clients call",
        ),
        what: "it syncs a new volume's files, but not its name in ROOT",
        changes: &[(
            VOLUMES,
            "rename(&staging, &folder)?;\n        sync(&self.root)",
            "rename(&staging, &folder)",
        )],
    },
    Wrong {
        step: 6,
        package: "proof-one-place",
        proof: (
            "leftovers",
            "a removed volume has a file that cannot be removed",
        ),
        what: "it has only one place for a removed volume of a name",
        changes: &[(
            VOLUMES,
            "let removed = root::vacant(&self.root.join(REMOVED), name)?;",
            "let removed = self.root.join(REMOVED).join(name);",
        )],
    },
    Wrong {
        step: 6,
        package: "proof-lock-file",
        proof: ("full-disk", "ROOT is mounted read-only for a while"),
        what: "it keeps a file in ROOT open for writing",
        changes: &[(
            ROOT,
            "let lock = File::open(root)",
            "let lock = File::create(root.join(\".lock\"))",
        )],
    },
    Wrong {
        step: 6,
        package: "proof-lock-fifo",
        proof: ("hostile-names", "entries of ROOT that are not volumes"),
        what: "it opens any file that has the name of its lock",
        changes: &[(
            ROOT,
            "let lock = File::open(root)",
            "let lock = File::create(root.join(\".lock\"))",
        )],
    },
    Wrong {
        step: 6,
        package: "proof-no-patience",
        proof: ("lock", "a second plugin waits for ROOT, and gets it"),
        what: "it does not wait for ROOT",
        changes: &[(
            ROOT,
            "const PATIENCE: Duration = Duration::from_secs(5);",
            "const PATIENCE: Duration = Duration::ZERO;",
        )],
    },
    Wrong {
        step: 6,
        package: "proof-waits-for-ever",
        proof: ("lock", "a second plugin waits for ROOT, and then ends"),
        what: "it waits too long for ROOT",
        changes: &[(
            ROOT,
            "if since.elapsed() > PATIENCE {",
            "if since.elapsed() > 10 * PATIENCE {",
        )],
    },
    Wrong {
        step: 6,
        package: "proof-covered",
        proof: ("lock", "a disk is mounted over ROOT"),
        what: "it works in any folder that has the path of ROOT",
        changes: &[(
            ROOT,
            "if now.is_ok_and(is_same) {",
            "if now.is_ok_and(|now| is_same(now) || true) {",
        )],
    },
];

/// The folder of all programs of this file.
static PROGRAMS: LazyLock<std::path::PathBuf> = LazyLock::new(|| {
    let mut packages: Vec<_> = WRONG
        .iter()
        .map(|wrong| (wrong.package.to_owned(), wrong.sources()))
        .collect();
    let step = steps::find(&root(), "6").unwrap();
    let starter = starters::pristine(&root(), &step).unwrap();
    packages.push(("proof-starter-06".to_owned(), starter));
    Workspace::write("proofs", &packages).build().0
});

impl Wrong {
    fn sources(&self) -> Sources {
        let step = steps::find(&root(), &self.step.to_string()).unwrap();
        let mut sources =
            starters::read(&root(), &step, Kind::Solution).unwrap();
        for (file, right, wrong) in self.changes {
            let text = sources.get_mut(Path::new(file)).unwrap();
            let count = text.matches(right).count();
            assert_eq!(count, 1, "{}: {right} in {file}", self.package);
            *text = text.replace(right, wrong);
        }
        sources
    }
}

/// The result of one proof, or why it was skipped.
fn tried(proof: &Proof, package: &str, step: u32) -> Result<String, String> {
    if let Some(why) = proof.lacks() {
        let what = format!("{}: {}", proof.name, proof.what);
        println!("skipped: {what}, of a wrong driver: {why}");
        return Err(why);
    }
    let program = Program::new(&PROGRAMS.join(package)).unwrap();
    Ok(match proof.run(&Subject::new(program, step)) {
        Ok(tried) => format!("ok: {tried}"),
        Err(Fault::Wrong(finding)) => format!("wrong: {finding:?}"),
        Err(Fault::NotTried(why)) => return Err(why),
        Err(Fault::Trouble(err)) => panic!("{package}: {err:#}"),
    })
}

#[test]
fn each_mistake_replaces_a_text_that_its_solution_has_once() {
    for wrong in WRONG {
        wrong.sources();
    }
}

#[test]
fn each_wrong_driver_fails_its_proof() {
    for wrong in WRONG {
        let (name, what) = wrong.proof;
        let proofs = proofs::choose(Some(name)).unwrap();
        let proof = proofs.iter().find(|proof| proof.what == what).unwrap();
        if let Ok(result) = tried(proof, wrong.package, wrong.step) {
            println!("{} ({}): {result}", wrong.package, wrong.what);
            assert!(result.starts_with("wrong: "), "{}", wrong.package);
        }
    }
}

#[test]
fn the_starter_of_step_6_writes_in_place_and_fails_the_proofs() {
    let proofs = proofs::choose(Some("syscalls")).unwrap();
    let writes = ["Create", "Remove"];
    let writes =
        |proof: &&Proof| writes.iter().any(|word| proof.what.contains(word));
    for proof in proofs.iter().filter(|proof| proof.from == 6).filter(writes) {
        if let Ok(result) = tried(proof, "proof-starter-06", 6) {
            println!("{}: {result}", proof.what);
            assert!(result.starts_with("wrong: "), "{}", proof.what);
        }
    }
}
