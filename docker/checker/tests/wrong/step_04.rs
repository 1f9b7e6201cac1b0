//! Wrong turns of step 4.

use super::{Fine, Wrong};

/// The rule of `directory`.
const PLAIN: &str = "        let mut parts = Path::new(name).components();
        let one = matches!(parts.next(), Some(path::Component::Normal(_)));
        let plain = one
            && parts.next().is_none()
            && !name.contains(['/', '\\0'])
            && name.len() <= LONGEST_NAME;
";

/// The last lines of `create`.
const CREATE: &str = "                fs::create_dir_all(&directory)
                    .map_err(Failure::system(\"making\", &directory))?;
                self.by_name.insert(name, options);
";

pub static WRONG: &[Wrong] = &[
    Wrong {
        check: "4.created",
        what: "the plugin creates the directory in Mount",
        step: 4,
        file: "src/volumes.rs",
        right: "fs::create_dir_all(&directory)\n                    .map_err(",
        wrong: "Ok(()).map_err(",
        more: &[(
            "src/volumes.rs",
            "fs::metadata(&directory)\n",
            "fs::create_dir_all(&directory)\n",
        )],
    },
    Wrong {
        check: "4.mountpoint",
        what: "Mount does not test whether the directory exists",
        step: 4,
        file: "src/volumes.rs",
        right: "        fs::metadata(&directory)\n            .map_err(Failure::system(\"looking for\", &directory))?;\n",
        wrong: "",
        more: &[],
    },
    Wrong {
        check: "4.in-root",
        what: "the plugin keeps its files beside ROOT",
        step: 4,
        file: "src/volumes.rs",
        right: "root: root::open(root)?,",
        wrong: r#"root: root::open(&root.with_file_name("elsewhere"))?,"#,
        more: &[],
    },
    Wrong {
        check: "4.same-place",
        what: "Path returns another directory than Mount",
        step: 4,
        file: "src/main.rs",
        right: "let mountpoint = volumes.get(&args.name)?.mountpoint;",
        wrong: r#"let mountpoint = volumes.get(&args.name)?.mountpoint.join("_data");"#,
        more: &[],
    },
    Wrong {
        check: "4.shared",
        what: "the plugin refuses a second Mount",
        step: 4,
        file: "src/protocol.rs",
        right: "    /// The name of an existing volume, or an unknown one.\n",
        wrong: "    #[serde(default, rename = \"ID\")]\n    pub id: String,\n",
        more: &[
            (
                "src/main.rs",
                "        Call::Mount(args) => {\n",
                "        Call::Mount(args) => {
            let mut users = USERS.lock().unwrap();
            let user = users.entry(args.name.clone()).or_insert(args.id.clone());
            if *user != args.id {
                return Err(Failure::BadBody(\"the volume is busy\".into()));
            }
",
            ),
            (
                "src/main.rs",
                "        Call::Unmount(args) => {\n",
                "        Call::Unmount(args) => {
            USERS.lock().unwrap().remove(&args.name);
",
            ),
            (
                "src/main.rs",
                "/// Carries out a call.\n",
                "use std::{collections::BTreeMap, sync::Mutex};
static USERS: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());
",
            ),
        ],
    },
    Wrong {
        check: "4.apart",
        what: "the plugin uses only eight bytes of a name",
        step: 4,
        file: "src/volumes.rs",
        right: "mountpoint: self.root.join(name) }",
        wrong: "mountpoint: self.root.join(name.get(..8).unwrap_or(name)) }",
        more: &[(
            "src/volumes.rs",
            "plain.then(|| self.root.join(name))",
            "plain.then(|| self.root.join(name.get(..8).unwrap_or(name)))",
        )],
    },
    Wrong {
        check: "4.outlives",
        what: "the plugin empties a volume after its last Unmount",
        step: 4,
        file: "src/volumes.rs",
        right: "        self.get(name).map(|_| ())\n",
        wrong: "        let directory = self.get(name)?.mountpoint;
        if USES.fetch_sub(1, Ordering::Relaxed) == 1 {
            let _ = fs::remove_dir_all(&directory);
            let _ = fs::create_dir_all(&directory);
        }
        Ok(())
",
        more: &[
            (
                "src/volumes.rs",
                "        Ok(directory)\n",
                "        USES.fetch_add(1, Ordering::Relaxed);\n        Ok(directory)\n",
            ),
            (
                "src/volumes.rs",
                "/// The longest file name of all",
                "use std::sync::atomic::{AtomicUsize, Ordering};
static USES: AtomicUsize = AtomicUsize::new(0);
/// The longest file name of all",
            ),
        ],
    },
    Wrong {
        check: "4.in-use",
        what: "the plugin moves the files away at the first Unmount",
        step: 4,
        file: "src/volumes.rs",
        right: "        self.get(name).map(|_| ())\n",
        wrong: "        let directory = self.get(name)?.mountpoint;
        let _ = fs::rename(&directory, directory.with_extension(\"away\"));
        Ok(())
",
        more: &[(
            "src/volumes.rs",
            "        // For a missing directory, Docker",
            "        if !directory.exists() {
            let _ = fs::rename(directory.with_extension(\"away\"), &directory);
        }
        // For a missing directory, Docker",
        )],
    },
    Wrong {
        check: "4.remove",
        what: "the plugin can only remove an empty directory",
        step: 4,
        file: "src/volumes.rs",
        right: "match fs::remove_dir_all(&directory) {",
        wrong: "match fs::remove_dir(&directory) {",
        more: &[],
    },
    Wrong {
        check: "4.remove",
        what: "the plugin removes ROOT with the directories of all volumes",
        step: 4,
        file: "src/volumes.rs",
        right: "match fs::remove_dir_all(&directory) {",
        wrong: "match fs::remove_dir_all(&self.root) {",
        more: &[],
    },
    Wrong {
        check: "4.removed-already",
        what: "the plugin refuses to remove a missing directory",
        step: 4,
        file: "src/volumes.rs",
        right: "Err(err) if err.kind() != ErrorKind::NotFound => {",
        wrong: "Err(err) => {",
        more: &[],
    },
    Wrong {
        check: "4.names",
        what: "the plugin accepts .. as a name",
        step: 4,
        file: "src/volumes.rs",
        right: "Some(path::Component::Normal(_))",
        wrong: "Some(path::Component::Normal(_) | path::Component::ParentDir)",
        more: &[],
    },
    Wrong {
        check: "4.private-root",
        what: "the plugin creates ROOT with the mode of mkdir",
        step: 4,
        file: "src/root.rs",
        right: "DirBuilder::new().mode(0o700)",
        wrong: "DirBuilder::new().mode(0o755)",
        more: &[(
            "src/root.rs",
            "if had & 0o077 == 0 {",
            "if had & 0o022 == 0 {",
        )],
    },
    Wrong {
        check: "4.not-its-root",
        what: "the plugin closes any folder that is given as ROOT",
        step: 4,
        file: "src/root.rs",
        right: "        is_ours(root)?,\n",
        wrong: "        is_ours(root)? || true,\n",
        more: &[],
    },
    Wrong {
        check: "4.names",
        what: "the plugin refuses only names with a slash",
        step: 4,
        file: "src/volumes.rs",
        right: PLAIN,
        wrong: "        let plain = !name.contains('/');\n",
        more: &[],
    },
    Wrong {
        check: "4.names",
        what: "the plugin refuses only names with two dots or a first slash",
        step: 4,
        file: "src/volumes.rs",
        right: PLAIN,
        wrong: "        let plain = !name.contains(\"..\") && !name.starts_with('/');\n",
        more: &[],
    },
    Wrong {
        check: "4.names",
        what: "the plugin compares a path that may still have two dots with ROOT",
        step: 4,
        file: "src/volumes.rs",
        right: PLAIN,
        wrong: "        let plain = self.root.join(name).starts_with(&self.root);\n",
        more: &[],
    },
    Wrong {
        check: "4.names",
        what: "a and a/ are two volumes with one directory",
        step: 4,
        file: "src/volumes.rs",
        right: "            && !name.contains(['/', '\\0'])\n",
        wrong: "",
        more: &[],
    },
    Wrong {
        check: "4.create-fails",
        what: "the plugin stores the volume before it makes the directory",
        step: 4,
        file: "src/volumes.rs",
        right: CREATE,
        wrong: "                self.by_name.insert(name, options);
                fs::create_dir_all(&directory)
                    .map_err(Failure::system(\"making\", &directory))?;
",
        more: &[],
    },
    Wrong {
        check: "4.create-fails",
        what: "the plugin ignores that the directory cannot be made",
        step: 4,
        file: "src/volumes.rs",
        right: CREATE,
        wrong: "                let _ = fs::create_dir_all(&directory);
                self.by_name.insert(name, options);
",
        more: &[],
    },
    Wrong {
        check: "4.create-fails",
        what: "the plugin makes no directory if anything exists there",
        step: 4,
        file: "src/volumes.rs",
        right: CREATE,
        wrong: "                if !directory.exists() {
                    fs::create_dir(&directory)
                        .map_err(Failure::system(\"making\", &directory))?;
                }
                self.by_name.insert(name, options);
",
        more: &[],
    },
    Wrong {
        check: "4.restart",
        what: "the plugin uses create_dir, which fails if the directory exists",
        step: 4,
        file: "src/volumes.rs",
        right: CREATE,
        wrong: "                fs::create_dir(&directory)
                    .map_err(Failure::system(\"making\", &directory))?;
                self.by_name.insert(name, options);
",
        more: &[],
    },
    Wrong {
        check: "4.restart",
        what: "the plugin removes an existing directory, and makes a new one",
        step: 4,
        file: "src/volumes.rs",
        right: CREATE,
        wrong: "                let _ = fs::remove_dir_all(&directory);
                fs::create_dir(&directory)
                    .map_err(Failure::system(\"making\", &directory))?;
                self.by_name.insert(name, options);
",
        more: &[],
    },
    Wrong {
        check: "4.remove-fails",
        what: "the plugin ignores that the files cannot be removed",
        step: 4,
        file: "src/volumes.rs",
        right: "match fs::remove_dir_all(&directory) {
            Err(err) if err.kind() != ErrorKind::NotFound => {
                return Err(Failure::system(\"removing\", &directory)(err));
            }
            _ => {}
        }
",
        wrong: "let _ = fs::remove_dir_all(&directory);\n",
        more: &[],
    },
    Wrong {
        check: "4.remove-fails",
        what: "the plugin forgets the volume before it removes the files",
        step: 4,
        file: "src/volumes.rs",
        right: "        match fs::remove_dir_all(&directory) {\n",
        wrong: "        self.by_name.remove(name);
        match fs::remove_dir_all(&directory) {\n",
        more: &[],
    },
];

pub static FINE: &[Fine] = &[
    Fine {
        what: "the plugin looks neither for a zero byte nor at a name's length",
        why: "the system refuses to make such a directory, so Create fails",
        step: 4,
        edits: &[
            (
                "src/volumes.rs",
                "!name.contains(['/', '\\0'])",
                "!name.contains('/')",
            ),
            (
                "src/volumes.rs",
                "\n            && name.len() <= LONGEST_NAME",
                "",
            ),
        ],
    },
    Fine {
        what: "Mount makes a missing directory again",
        why: "the container gets a directory, although its files are lost",
        step: 4,
        edits: &[(
            "src/volumes.rs",
            "fs::metadata(&directory)\n",
            "fs::create_dir_all(&directory)\n",
        )],
    },
    Fine {
        what: "Remove looks whether the directory exists",
        why: "Docker sends one call at a time for each volume",
        step: 4,
        edits: &[(
            "src/volumes.rs",
            "match fs::remove_dir_all(&directory) {
            Err(err) if err.kind() != ErrorKind::NotFound => {
                return Err(Failure::system(\"removing\", &directory)(err));
            }
            _ => {}
        }
",
            "if directory.exists() {
            fs::remove_dir_all(&directory)
                .map_err(Failure::system(\"removing\", &directory))?;
        }
",
        )],
    },
];
