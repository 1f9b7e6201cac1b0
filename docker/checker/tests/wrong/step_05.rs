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
];

pub static FINE: &[Fine] = &[];
