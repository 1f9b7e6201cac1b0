//! Wrong turns of step 9.

use super::{Fine, Wrong};

pub static WRONG: &[Wrong] = &[
    Wrong {
        check: "9.pieces",
        what: "the plugin reads a head by one read",
        step: 9,
        file: "src/client.rs",
        right: "            if self.fill(headers::LONGEST)? == 0 {
                return match self.unused() {",
        wrong: "            let begun = !self.unused().is_empty();
            if begun || self.fill(headers::LONGEST)? == 0 {
                return match self.unused() {",
        more: &[],
    },
    Wrong {
        check: "9.endless-head",
        what: "the plugin reads a head up to its end, however long",
        step: 9,
        file: "src/client.rs",
        right: "            if self.unused().len() >= headers::LONGEST {
                return refuse(431, \"the head is too long\");
            }
            if self.fill(headers::LONGEST)? == 0 {",
        wrong: "            if self.fill(usize::MAX)? == 0 {",
        more: &[],
    },
    Wrong {
        check: "9.chunked",
        what: "the plugin takes a body in chunks for none",
        step: 9,
        file: "src/http.rs",
        right: "                Ok(Self::Chunked)\n",
        wrong: "                Ok(Self::Length(0))\n",
        more: &[],
    },
    Wrong {
        check: "9.two-ends",
        what: "the plugin believes the length, and ignores the chunks",
        step: 9,
        file: "src/http.rs",
        right: "        match (&lengths[..], &codings[..]) {",
        wrong: "        let codings = if lengths.is_empty() { codings } else { Vec::new() };
        match (&lengths[..], &codings[..]) {",
        more: &[],
    },
    Wrong {
        check: "9.two-ends",
        what: "the plugin takes +5 for a length",
        step: 9,
        file: "src/http.rs",
        right: "                if digits.iter().all(u8::is_ascii_digit) =>",
        wrong: "                if digits.first() == Some(&b'+')
                    || digits.iter().all(u8::is_ascii_digit) =>",
        more: &[],
    },
    Wrong {
        check: "9.close",
        what: "the plugin keeps every connection open",
        step: 9,
        file: "src/http.rs",
        right: r#"                b"close" => return Ok(false),"#,
        wrong: r#"                b"close" => return Ok(true),"#,
        more: &[],
    },
    Wrong {
        check: "9.close",
        what: "the plugin keeps a connection of HTTP/1.0 open",
        step: 9,
        file: "src/http.rs",
        right: "    let mut keeps_open = is_new;",
        wrong: "    let mut keeps_open = is_new || request.version == Some(0);",
        more: &[],
    },
    Wrong {
        check: "9.expect",
        what: "the plugin waits for the body of a client that waits, too",
        step: 9,
        file: "src/body.rs",
        right: "    if head.expects && client.unused().is_empty() {",
        wrong: "    if head.expects && !client.unused().is_empty() {",
        more: &[],
    },
    Wrong {
        check: "9.slow-client",
        what: "each byte gives the client more time",
        step: 9,
        file: "src/client.rs",
        right: "        let deadline = *self.deadline.get_or_insert(now + self.patience);",
        wrong: "        let deadline = *self.deadline.insert(now + self.patience);",
        more: &[],
    },
    Wrong {
        check: "9.slow-client",
        what: "the plugin disconnects a client that is silent between two calls",
        step: 9,
        file: "src/client.rs",
        right: "        if self.buffer.is_empty() && self.deadline.is_none() {
            return Ok(());
        }
",
        wrong: "",
        more: &[],
    },
    Wrong {
        check: "9.few-files",
        what: "the plugin sends no client away when it runs out of files",
        step: 9,
        file: "src/server.rs",
        right: "if is_in_trouble && !list.close_idlest() {",
        wrong: "if is_in_trouble {",
        more: &[],
    },
    Wrong {
        check: "9.crowd",
        what: "the plugin lets in as many clients as come",
        step: 9,
        file: "src/connections.rs",
        right: "const MOST: usize = 256;",
        wrong: "const MOST: usize = 256_000;",
        more: &[],
    },
    Wrong {
        check: "9.no-reader",
        what: "the plugin waits for every client that takes its answer",
        step: 9,
        file: "src/connections.rs",
        right: "                    What::Talking => doing.since.elapsed() < SILENCE_AT_STOP,
",
        wrong: "                    What::Talking => {
                        doing.since.elapsed() < SILENCE_AT_STOP * 600
                    }
",
        more: &[],
    },
    Wrong {
        check: "9.loopback",
        what: "the plugin listens on every address without --anyone",
        step: 9,
        file: "src/door.rs",
        right: "            anyone,
",
        wrong: "            anyone || true,
",
        more: &[],
    },
    Wrong {
        check: "9.spec",
        what: "the file of --spec has an address without a scheme",
        step: 9,
        file: "src/spec.rs",
        right: r#"format!("tcp://{address}\n")"#,
        wrong: r#"format!("{address}\n")"#,
        more: &[],
    },
    Wrong {
        check: "9.spec",
        what: "the file of --spec has a key that Docker does not read",
        step: 9,
        file: "src/spec.rs",
        right: r#"json!({ "Addr": "#,
        wrong: r#"json!({ "Address": "#,
        more: &[],
    },
    Wrong {
        check: "9.spec-gone",
        what: "the plugin removes its socket, but not the file of --spec",
        step: 9,
        file: "src/spec.rs",
        right: "        for file in &self.0 {
",
        wrong: "        for file in self.0.iter().take(1) {
",
        more: &[],
    },
    Wrong {
        check: "9.folder-beside-spec",
        what: "the plugin removes a folder to create its temporary file",
        step: 9,
        file: "src/spec.rs",
        right: "    let (mut file, aside) = create_beside(path)?;
",
        wrong: "    crate::remove::remove(&path.with_extension(\"new\"))?;
    let (mut file, aside) = create_beside(path)?;
",
        more: &[],
    },
    Wrong {
        check: "9.foreign-spec",
        what: "the plugin replaces any file of --spec",
        step: 9,
        file: "src/spec.rs",
        right: "Ok(had) if had == text || is_stale(&had) =>",
        wrong: "Ok(had) if had == text || is_stale(&had) || true =>",
        more: &[],
    },
    Wrong {
        check: "9.long-replies",
        what: "the plugin writes head and body by two writes",
        step: 9,
        file: "src/stream.rs",
        right: "Self::Tcp(stream) => (&*stream).write(bytes),",
        wrong: "Self::Tcp(stream) => {
                    (&*stream).write(&bytes[..bytes.len().min(200)])
                }",
        more: &[(
            "src/door.rs",
            "stream.set_nodelay(true)?;",
            "stream.set_nodelay(false)?;",
        )],
    },
    Wrong {
        check: "9.pages",
        what: "the plugin looks for Origin alone",
        step: 9,
        file: "src/strangers.rs",
        right: r#"if name == "origin" || name.starts_with("sec-fetch-") {"#,
        wrong: r#"if name == "origin" {"#,
        more: &[],
    },
    Wrong {
        check: "9.pages",
        what: "the plugin knows one spelling of Origin",
        step: 9,
        file: "src/strangers.rs",
        right: "let name = header.name.to_ascii_lowercase();",
        wrong: r#"let name = header.name.replacen('O', "o", 1);"#,
        more: &[],
    },
    Wrong {
        check: "9.host",
        what: "the plugin answers whatever Host says",
        step: 9,
        file: "src/strangers.rs",
        right: "if hosts != [address.as_bytes()] {",
        wrong: "if hosts.is_empty() && address.is_empty() {",
        more: &[],
    },
];

pub static FINE: &[Fine] = &[];
