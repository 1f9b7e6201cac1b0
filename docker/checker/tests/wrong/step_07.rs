//! Wrong turns of step 7.

use super::{Fine, Wrong};

pub static WRONG: &[Wrong] = &[
    Wrong {
        check: "7.slow-body",
        what: "the plugin reads one body at a time",
        step: 7,
        file: "src/server.rs",
        right: "    let mut body = Vec::new();\n",
        wrong: r#"
    static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one = ONE.lock();
    let mut body = Vec::new();
"#,
        more: &[],
    },
    Wrong {
        check: "7.slow-call",
        what: "all calls share one lock",
        step: 7,
        file: "src/main.rs",
        right: "name(&call).map(|name| names.claim(name))",
        wrong: "name(&call).or(Some(\"\")).map(|_| names.claim(\"\"))",
        more: &[],
    },
    Wrong {
        check: "7.one-name",
        what: "the plugin locks no name",
        step: 7,
        file: "src/main.rs",
        right: "name(&call).map(|name| names.claim(name))",
        wrong: "name(&call).map(|_| names)",
        more: &[],
    },
    Wrong {
        check: "7.signals",
        what: "the plugin does not handle SIGINT",
        step: 7,
        file: "src/stop.rs",
        right: "Signals::new([SIGTERM, SIGINT])",
        wrong: "Signals::new([SIGTERM])",
        more: &[],
    },
    Wrong {
        check: "7.in-flight",
        what: "the plugin ends without waiting for calls",
        step: 7,
        file: "src/stop.rs",
        right: "    drop(advertised);\n    listener.slots.at_work(deadline - PATIENCE / 2);\n",
        wrong: "    drop(advertised);\n",
        more: &[(
            "src/stop.rs",
            "let cut_off = listener.slots.at_work(deadline);",
            "let cut_off = Vec::<String>::new();",
        )],
    },
    Wrong {
        check: "7.order",
        what: "the plugin carries out the calls of one connection at the same time",
        step: 7,
        file: "src/listener.rs",
        right: "let _ = writer.flush();",
        wrong: "let _ = &mut writer;",
        more: &[],
    },
    Wrong {
        check: "7.no-trace",
        what: "the plugin ends at once when a thread of tiny_http panics",
        step: 7,
        file: "src/server.rs",
        right: "let _ = end.send(Err(anyhow!(\"a thread of tiny_http panicked\")));",
        wrong: "let _ = (&end, anyhow!(\"\"));
            std::process::exit(101);",
        more: &[],
    },
    Wrong {
        check: "7.no-trace",
        what: "the plugin cannot remove its socket when it can open no file",
        step: 7,
        file: "src/listener.rs",
        // A dummy connection may end just then, and leave a file or two.
        right: "        let _turn = turn::take(path)?;\n",
        wrong: "        let _turn = turn::take(path)?;
        let _more = [File::open(\"/\")?, File::open(\"/\")?, File::open(\"/\")?];
",
        more: &[("src/listener.rs", "        self.spare = None;\n", "")],
    },
    Wrong {
        check: "7.stranded",
        what: "the plugin trusts tiny_http to serve every connection",
        step: 7,
        file: "src/listener.rs",
        right: "drop(UnixStream::connect(&self.path));",
        wrong: "let _ = &self.path;",
        more: &[],
    },
    Wrong {
        check: "7.newer-socket",
        what: "the plugin removes any socket at its path",
        step: 7,
        file: "src/listener.rs",
        right: "ensure!(identity(path)? == *is, \"another plugin has it now\");",
        wrong: "let _ = is;",
        more: &[],
    },
];

pub static FINE: &[Fine] = &[];
