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
        what: "the plugin has no patience with running calls",
        step: 7,
        file: "src/stop.rs",
        right: "Duration::from_secs(8)",
        wrong: "Duration::ZERO",
        more: &[],
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
    Wrong {
        check: "7.slow-body",
        what: "the plugin has four threads, and no more",
        step: 7,
        file: "src/server.rs",
        right: "    loop {
        listener.await_need()?;
",
        wrong: "    let mut started = 0;
    loop {
        listener.await_need()?;
        started += 1;
        if started > 4 {
            continue;
        }
",
        more: &[
            (
                "src/server.rs",
                ".spawn(move || work(listener, answer))",
                ".spawn(move || {
                loop {
                    work(listener, answer)
                }
            })",
            ),
        ],
    },
    Wrong {
        check: "7.one-name",
        what: "a call that was woken does not look again",
        step: 7,
        file: "src/names.rs",
        right: "        while taken.contains(name) {",
        wrong: "        if taken.contains(name) {",
        more: &[],
    },
    Wrong {
        check: "7.one-name",
        // Without the line in the log, two calls meet here only by luck.
        what: "a call releases the lock, logs that the name is free, and claims it",
        step: 7,
        file: "src/names.rs",
        right: "        taken.insert(name.to_owned());
",
        wrong: "        drop(taken);
        log::info!(\"{name} is free\");
        self.taken().insert(name.to_owned());
",
        more: &[],
    },
    Wrong {
        check: "7.socket-first",
        what: "the plugin removes its socket last",
        step: 7,
        file: "src/stop.rs",
        right: "    drop(advertised);
    listener.slots.at_work(deadline - PATIENCE / 2);
    listener.close();
    let cut_off = listener.slots.at_work(deadline);
",
        wrong: "    listener.slots.at_work(deadline - PATIENCE / 2);
    listener.close();
    let cut_off = listener.slots.at_work(deadline);
    drop(advertised);
",
        more: &[],
    },
    Wrong {
        check: "7.late-call",
        what: "the plugin closes the listener first",
        step: 7,
        file: "src/stop.rs",
        right: "    drop(advertised);
    listener.slots.at_work(deadline - PATIENCE / 2);
    listener.close();
    let cut_off = listener.slots.at_work(deadline);
",
        wrong: "    drop(advertised);
    listener.close();
    let cut_off = listener.slots.at_work(deadline);
",
        more: &[],
    },
    Wrong {
        check: "7.second-signal",
        what: "the plugin ignores a second signal",
        step: 7,
        file: "src/stop.rs",
        right: "        if signals.any(|again| again == first) {
            let _ = emulate_default_handler(first);
        }
",
        wrong: "        let _ = emulate_default_handler;
        let _ = signals.any(|_| false);
",
        more: &[],
    },
    Wrong {
        check: "7.second-signal",
        what: "any second signal ends the plugin",
        step: 7,
        file: "src/stop.rs",
        right: "signals.any(|again| again == first)",
        wrong: "signals.next().is_some()",
        more: &[],
    },
    Wrong {
        check: "7.cut-off",
        what: "the plugin ends with status 0 although it has cut a call off",
        step: 7,
        file: "src/stop.rs",
        right: "    ensure!(cut_off.is_empty(), \"cut off {}\", cut_off.join(\", \"));
",
        wrong: "    let _ = cut_off;
",
        more: &[],
    },
    Wrong {
        check: "7.cut-off",
        what: "the plugin waits for a slow call for ever",
        step: 7,
        file: "src/stop.rs",
        right: "Duration::from_secs(8)",
        wrong: "Duration::from_secs(80_000)",
        more: &[],
    },
];

pub static FINE: &[Fine] = &[
    Fine {
        what: "the threads have no names",
        why: "only a panic shows that, and no call panics once the holes are filled",
        step: 7,
        edits: &[(
            "src/server.rs",
            "            .name(\"work\".to_owned())
",
            "",
        )],
    },
    Fine {
        what: "a thread that cannot be started is ignored",
        why: "only a system without threads shows that, and no check may take them all",
        step: 7,
        edits: &[
            (
                "src/server.rs",
                "        thread::Builder::new()
            .name(\"work\".to_owned())
",
                "        let _ = thread::Builder::new()
            .name(\"work\".to_owned())
",
            ),
            (
                "src/server.rs",
                "            .context(\"starting a thread for calls\")?;
",
                "            .context(\"starting a thread for calls\");
",
            ),
        ],
    },
    Fine {
        what: "a second signal ends the plugin by an exit",
        why: "it ends at once, and its status is not 0 either",
        step: 7,
        edits: &[(
            "src/stop.rs",
            "let _ = emulate_default_handler(first);",
            "let _ = emulate_default_handler;
            std::process::exit(1);",
        )],
    },
    Fine {
        what: "the claim waits for the lock in a loop, without a condition variable",
        why: "the name has one call at a time, although the waiting calls keep a processor busy",
        step: 7,
        edits: &[(
            "src/names.rs",
            "            taken =
                self.freed.wait(taken).unwrap_or_else(PoisonError::into_inner);
",
            "            drop(taken);
            std::thread::yield_now();
            taken = self.taken();
",
        )],
    },
];
