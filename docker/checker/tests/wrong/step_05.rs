//! Wrong turns of step 5.

use super::{Fine, Wrong};

pub static WRONG: &[Wrong] = &[
    Wrong {
        check: "5.bad-names",
        what: "the plugin allows a blank in a name",
        step: 5,
        file: "src/volumes.rs",
        right: r#"b"_.-".contains(byte)"#,
        wrong: r#"b"_.- ".contains(byte)"#,
        more: &[],
    },
    Wrong {
        check: "5.good-names",
        what: "the plugin refuses names of more than 63 bytes",
        step: 5,
        file: "src/volumes.rs",
        right: "const LONGEST_NAME: usize = 255;",
        wrong: "const LONGEST_NAME: usize = 63;",
        more: &[],
    },
    Wrong {
        check: "5.options",
        what: "the plugin refuses keep=false",
        step: 5,
        file: "src/options.rs",
        right: r#""false" => settings.keep = false,"#,
        wrong: "",
        more: &[],
    },
    Wrong {
        check: "5.unknown-option",
        what: "the plugin ignores short unknown options",
        step: 5,
        file: "src/options.rs",
        right: r#"_ => return Err(unknown_word(&OPTIONS, "", key)),"#,
        wrong: r#"_ if key.len() > 4 => return Err(unknown_word(&OPTIONS, "", key)),
                _ => {}"#,
        more: &[],
    },
    Wrong {
        check: "5.unknown-value",
        what: "the plugin reads short values other than true as false",
        step: 5,
        file: "src/options.rs",
        right: r#""false" => settings.keep = false,"#,
        wrong: r#"word if word.len() < 5 => settings.keep = false,
                    "false" => settings.keep = false,"#,
        more: &[],
    },
    Wrong {
        check: "5.bad-mode",
        what: "the plugin has no limit for a mode",
        step: 5,
        file: "src/options.rs",
        right: " && *mode <= 0o7777",
        wrong: "",
        more: &[],
    },
    Wrong {
        check: "5.owner-mode",
        what: "the plugin tests one of the owner's three bits",
        step: 5,
        file: "src/options.rs",
        right: "if self.mode & 0o700 == 0o700 {",
        wrong: "if self.mode & 0o400 == 0o400 {",
        more: &[],
    },
    Wrong {
        check: "5.short-errors",
        what: "the plugin repeats any value in full",
        step: 5,
        file: "src/options.rs",
        right: "format!(\"mode={}\", excerpt(value))",
        wrong: "format!(\"mode={value}\")",
        more: &[],
    },
    Wrong {
        check: "5.short-errors",
        what: "the plugin repeats a value without escaping it",
        step: 5,
        file: "src/options.rs",
        right: "excerpt(word)",
        wrong: "word.chars().take(40).collect::<String>()",
        more: &[],
    },
    Wrong {
        check: "5.mode",
        what: "the plugin passes the mode to mkdir, and the umask removes bits",
        step: 5,
        file: "src/volumes.rs",
        right: "let mode = Permissions::from_mode(settings.mode);",
        wrong: "let mode = Permissions::from_mode(settings.mode & !0o022);",
        more: &[],
    },
    Wrong {
        check: "5.same-options",
        what: "the plugin compares options as they were typed",
        step: 5,
        file: "src/options.rs",
        right: "                \"mode\" => settings.mode = mode(value)?,",
        wrong: "                \"mode\" => {
                    settings.mode = mode(value)?;
                    settings.typed = value.clone();
                }",
        more: &[
            (
                "src/options.rs",
                "    pub mode: u32,\n",
                "    pub mode: u32,\n    pub typed: String,\n",
            ),
            (
                "src/options.rs",
                "Self { mode: 0o755, keep: false }",
                "Self { mode: 0o755, typed: \"0755\".into(), keep: false }",
            ),
            (
                "src/options.rs",
                "let mode = format!(\"{:04o}\", self.mode);",
                "let mode = self.typed.clone();",
            ),
        ],
    },
    Wrong {
        check: "5.status",
        what: "the Status has only the options that differ from the defaults",
        step: 5,
        file: "src/volumes.rs",
        right: "            status: metadata.settings.status(&mountpoint),\n",
        wrong: "            status: match metadata.settings.mode {
                0o755 => Options::new(),
                _ => metadata.settings.status(&mountpoint),
            },\n",
        more: &[],
    },
    Wrong {
        check: "5.status-now",
        what: "the Status has the requested mode",
        step: 5,
        file: "src/options.rs",
        right: "        status.extend([
            (\"mode\".to_owned(), mode),
",
        wrong: "        let mode = self.canonical().remove(\"mode\").unwrap_or(mode);
        status.extend([
            (\"mode\".to_owned(), mode),
",
        more: &[],
    },
    Wrong {
        check: "5.created-at",
        what: "CreatedAt has a blank instead of a T",
        step: 5,
        file: "src/clock.rs",
        right: "{day:02}T{hour:02}",
        wrong: "{day:02} {hour:02}",
        more: &[],
    },
    Wrong {
        check: "5.keep",
        what: "the plugin removes the files despite keep=true",
        step: 5,
        file: "src/volumes.rs",
        right: "            self.by_name.remove(name);
            return Ok(());
",
        wrong: "",
        more: &[],
    },
    Wrong {
        check: "5.keep-forgets",
        what: "the plugin keeps the files and the volume",
        step: 5,
        file: "src/volumes.rs",
        right: "            self.by_name.remove(name);
            return Ok(());
",
        wrong: "            return Ok(());
",
        more: &[],
    },
    Wrong {
        check: "5.bad-names",
        what: "the plugin allows names of one letter",
        step: 5,
        file: "src/volumes.rs",
        right: "                    && !rest.is_empty()
",
        wrong: "",
        more: &[],
    },
    Wrong {
        check: "5.bad-names",
        what: "the plugin allows letters of any alphabet",
        step: 5,
        file: "src/volumes.rs",
        right: "        let plain = match name.as_bytes() {
            [first, rest @ ..] => {
                first.is_ascii_alphanumeric()
                    && !rest.is_empty()
                    && rest.iter().all(allowed)
",
        wrong: "        let letters = name.chars().all(|c| c.is_alphanumeric() || \"_.-\".contains(c));
        let plain = match name.as_bytes() {
            [first, rest @ ..] => {
                (first.is_ascii_alphanumeric() || *first >= 0x80)
                    && !rest.is_empty()
                    && rest.iter().all(|byte| allowed(byte) || *byte >= 0x80)
                    && letters
",
        more: &[],
    },
    Wrong {
        check: "5.unknown-value",
        what: "the plugin takes any short word for a type",
        step: 5,
        file: "src/options.rs",
        right: "                    _ => return Err(unknown_word(&[\"dir\"], \"type=\", value)),
",
        wrong: "                    word if word.len() < 16 => {}
                    _ => return Err(unknown_word(&[\"dir\"], \"type=\", value)),
",
        more: &[],
    },
    Wrong {
        check: "5.suggested-value",
        what: "for a wrong type, the plugin suggests the names of options",
        step: 5,
        file: "src/options.rs",
        right: r#"unknown_word(&["dir"], "type=", value)"#,
        wrong: r#"unknown_word(&OPTIONS, "type=", value)"#,
        more: &[],
    },
    Wrong {
        check: "5.suggested-value",
        what: "for a wrong keep, the plugin suggests the types",
        step: 5,
        file: "src/options.rs",
        right: r#"let known = ["true", "false"];"#,
        wrong: r#"let known = ["dir"];"#,
        more: &[],
    },
    Wrong {
        check: "5.logged",
        what: "the plugin logs a refusal without its reason",
        step: 5,
        file: "src/server.rs",
        right: r#"warn!("{call} -> {status} {text}")"#,
        wrong: r#"warn!("{call} -> {status}")"#,
        more: &[],
    },
    Wrong {
        check: "5.mode",
        what: "the plugin sets the mode of a new directory alone",
        step: 5,
        file: "src/volumes.rs",
        right: "                fs::create_dir_all(&directory)
",
        wrong: "                let is_there = directory.exists();
                fs::create_dir_all(&directory)
",
        more: &[
            (
                "src/volumes.rs",
                "                let mode = Permissions::from_mode(settings.mode);
                fs::set_permissions(&directory, mode).map_err(
",
                "                let mode = match is_there {
                    true => fs::metadata(&directory)
                        .map_err(Failure::system(\"reading\", &directory))?
                        .permissions(),
                    false => Permissions::from_mode(settings.mode),
                };
                fs::set_permissions(&directory, mode).map_err(
",
            ),
        ],
    },
    Wrong {
        check: "5.keep",
        what: "keep means the opposite",
        step: 5,
        file: "src/volumes.rs",
        right: "if self.by_name[name].settings.keep {",
        wrong: "if !self.by_name[name].settings.keep {",
        more: &[],
    },
    Wrong {
        check: "5.keep-logged",
        what: "the plugin keeps the files without a word",
        step: 5,
        file: "src/volumes.rs",
        right: "            info!(\"{name} is gone, its files stay in {}\", directory.display());
",
        wrong: "            log::debug!(\"{name} is gone\");
            let _ = |path: &Path| info!(\"{}\", path.display());
",
        more: &[],
    },
];

pub static FINE: &[Fine] = &[
    Fine {
        what: "the plugin does not limit the length of names",
        why: "no filesystem has longer names, so the system refuses them",
        step: 5,
        edits: &[(
            "src/volumes.rs",
            "                    && name.len() <= LONGEST_NAME
",
            "",
        )],
    },
    Fine {
        what: "the plugin reads keep by bool::from_str",
        why: "it reads the same two words, and its error has both",
        step: 5,
        edits: &[(
            "src/options.rs",
            "                \"keep\" => match value.as_str() {
                    \"true\" => settings.keep = true,
                    \"false\" => settings.keep = false,
                    _ => {
                        let known = [\"true\", \"false\"];
                        return Err(unknown_word(&known, \"keep=\", value));
                    }
                },
",
            "                \"keep\" => {
                    settings.keep = value.parse().map_err(|err| {
                        let err: std::str::ParseBoolError = err;
                        Failure::BadOption(
                            format!(\"keep={}\", excerpt(value)),
                            err.to_string(),
                        )
                    })?;
                }
",
        )],
    },
];
