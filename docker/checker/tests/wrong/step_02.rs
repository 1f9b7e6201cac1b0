//! Wrong turns of step 2.

use super::{Fine, Wrong};

pub static WRONG: &[Wrong] = &[
    Wrong {
        check: "2.create",
        what: "the plugin refuses null as options",
        step: 2,
        file: "src/protocol.rs",
        right: "pub struct Named {\n",
        wrong: "pub struct Named {
    #[serde(default)]
    pub opts: std::collections::HashMap<String, String>,
",
        more: &[],
    },
    Wrong {
        check: "2.options",
        what: "the plugin refuses unknown fields",
        step: 2,
        file: "src/protocol.rs",
        right: "#[serde(rename_all = \"PascalCase\")]\npub struct Named {\n",
        wrong: "#[serde(rename_all = \"PascalCase\", deny_unknown_fields)]
pub struct Named {
    #[serde(default)]
    pub opts: serde_json::Value,
    #[serde(default, rename = \"ID\")]
    pub id: String,
",
        more: &[],
    },
    Wrong {
        check: "2.empty-body",
        what: "the plugin reads an empty body as an empty object",
        step: 2,
        file: "src/protocol.rs",
        right: r#"return Err(Failure::BadBody("it is empty".to_owned()));"#,
        wrong: r##"return arguments(br#"{"Name":""}"#);"##,
        more: &[],
    },
    Wrong {
        check: "2.no-json",
        what: "the plugin uses a default name if the body is not an object",
        step: 2,
        file: "src/protocol.rs",
        right: "    serde_json::from_slice(body)\n",
        wrong: r##"
    let guess: &[u8] = br#"{"Name":"unnamed"}"#;
    let body = if body.starts_with(b"{") { body } else { guess };
    serde_json::from_slice(body)
"##,
        more: &[],
    },
    Wrong {
        check: "2.no-name",
        what: "the plugin uses a default name if the body has none",
        step: 2,
        file: "src/protocol.rs",
        right: "    pub name: String,\n",
        wrong: "    #[serde(default)]\n    pub name: String,\n",
        more: &[],
    },
    Wrong {
        check: "2.no-such-volume",
        what: "the plugin gives the same answer to every Get",
        step: 2,
        file: "src/main.rs",
        right: "    protocol::encode(path, Call::decode(path, body).and_then(act))\n",
        wrong: r##"
    if path == "/VolumeDriver.Get" {
        return (200, r#"{"Volume":{"Name":"demo"}}"#.to_owned());
    }
    protocol::encode(path, Call::decode(path, body).and_then(act))
"##,
        more: &[],
    },
    Wrong {
        check: "2.error-text",
        what: "the plugin puts its JSON together by hand",
        step: 2,
        file: "src/protocol.rs",
        right: r#"json!({ "Err": format!("workshop: {failure}") }).to_string()"#,
        wrong: r#"format!("{{\"Err\":\"workshop: {failure}\"}}")"#,
        more: &[],
    },
    Wrong {
        check: "2.refused",
        what: "the plugin refuses a Create with status 200",
        step: 2,
        file: "src/protocol.rs",
        right: r#"_ if path == "/VolumeDriver.Get" => 200,"#,
        wrong: r#"Failure::BadName(_) => 200,
        _ if path == "/VolumeDriver.Get" => 200,"#,
        more: &[],
    },
    Wrong {
        check: "2.refused",
        what: "the plugin answers every call about an unknown volume as a Get",
        step: 2,
        file: "src/protocol.rs",
        right: r#"_ if path == "/VolumeDriver.Get" => 200,"#,
        wrong: "Failure::NoSuchVolume(_) => 200,",
        more: &[],
    },
    Wrong {
        check: "2.get-status",
        what: "the plugin refuses a Get with another status than 200",
        step: 2,
        file: "src/protocol.rs",
        right: r#"_ if path == "/VolumeDriver.Get" => 200,"#,
        wrong: "",
        more: &[],
    },
    Wrong {
        check: "2.tame-errors",
        what: "the plugin repeats a name without escaping it",
        step: 2,
        file: "src/protocol.rs",
        right: "write!(f, \"no such volume: {}\", excerpt(name))",
        wrong: "write!(f, \"no such volume: {name}\")",
        more: &[],
    },
    Wrong {
        check: "2.list",
        what: "the plugin requires a name in every call",
        step: 2,
        file: "src/protocol.rs",
        right: r#""/VolumeDriver.List" => Ok(Self::List),"#,
        wrong: r#""/VolumeDriver.List" => arguments(body).map(|_: Named| Self::List),"#,
        more: &[],
    },
    Wrong {
        check: "2.list",
        what: "the plugin lists strings instead of objects",
        step: 2,
        file: "src/main.rs",
        right: "Ok(Reply::Volumes { volumes: Vec::new() })",
        wrong: r#"Ok(Reply::Volumes { volumes: vec!["demo".to_owned()] })"#,
        more: &[],
    },
    Wrong {
        check: "2.create",
        what: "the plugin answers Create with 201",
        step: 2,
        file: "src/protocol.rs",
        right: r#"return (200, text.expect("keys are strings, so JSON can hold it"));"#,
        wrong: r#"let status = if path.ends_with("Create") { 201 } else { 200 };
            return (status, text.expect("keys are strings, so JSON can hold it"));"#,
        more: &[],
    },
    Wrong {
        check: "2.paths",
        what: "the plugin has no arm for Unmount",
        step: 2,
        file: "src/protocol.rs",
        right: "            \"/VolumeDriver.Unmount\" => arguments(body).map(Self::Unmount),\n",
        wrong: "",
        more: &[],
    },
    Wrong {
        check: "2.paths",
        what: "the plugin has no arm for Path",
        step: 2,
        file: "src/protocol.rs",
        right: "            \"/VolumeDriver.Path\" => arguments(body).map(Self::Path),\n",
        wrong: "",
        more: &[],
    },
    Wrong {
        check: "2.paths",
        what: "the path of Capabilities is misspelt",
        step: 2,
        file: "src/protocol.rs",
        right: "\"/VolumeDriver.Capabilities\" =>",
        wrong: "\"/VolumeDriver.Capabilites\" =>",
        more: &[],
    },
    Wrong {
        check: "2.paths",
        what: "a Get is decoded as a Create",
        step: 2,
        file: "src/protocol.rs",
        right: r#""/VolumeDriver.Get" => arguments(body).map(Self::Get),"#,
        wrong: r#""/VolumeDriver.Get" => arguments(body).map(Self::Create),"#,
        more: &[],
    },
    Wrong {
        check: "2.failures",
        what: "the plugin unwraps the result of serde",
        step: 2,
        file: "src/protocol.rs",
        right: "    serde_json::from_slice(body)
        .map_err(|err| Failure::BadBody(err.to_string()))
",
        wrong: "    Ok(serde_json::from_slice(body).unwrap())\n",
        more: &[(
            "src/protocol.rs",
            "    if body.is_empty() {
        return Err(Failure::BadBody(\"it is empty\".to_owned()));
    }
",
            "",
        )],
    },
    Wrong {
        check: "2.failures",
        what: "the plugin writes the text of a failure as it is",
        step: 2,
        file: "src/protocol.rs",
        right: r#"json!({ "Err": format!("workshop: {failure}") }).to_string()"#,
        wrong: r#"format!("workshop: {failure}")"#,
        more: &[],
    },
    Wrong {
        check: "2.failures",
        what: "the plugin writes the text of a failure under another key",
        step: 2,
        file: "src/protocol.rs",
        right: r#"json!({ "Err":"#,
        wrong: r#"json!({ "Error":"#,
        more: &[],
    },
    Wrong {
        check: "2.get-status",
        what: "every failure has status 500",
        step: 2,
        file: "src/protocol.rs",
        right: "    let status = match failure {
        Failure::UnknownCall(_) => 404,
        Failure::BadBody(_) => 400,
        _ if path == \"/VolumeDriver.Get\" => 200,
        _ => 500,
    };
",
        wrong: "    let status = 500;\n",
        more: &[],
    },
];

pub static FINE: &[Fine] = &[
    Fine {
        what: "the plugin does not look whether a body is empty",
        why: "an empty body is no JSON, so serde refuses it as well: only the \
              words are less clear",
        step: 2,
        edits: &[(
            "src/protocol.rs",
            "    if body.is_empty() {
        return Err(Failure::BadBody(\"it is empty\".to_owned()));
    }
",
            "",
        )],
    },
    Fine {
        what: "every failure has status 500, but that of a Get 200",
        why: "Docker and Podman do not tell 404, 400 and 500 apart: these \
              numbers help people who read the log",
        step: 2,
        edits: &[(
            "src/protocol.rs",
            "        Failure::UnknownCall(_) => 404,
        Failure::BadBody(_) => 400,
",
            "",
        )],
    },
    Fine {
        what: "the texts do not begin with the plugin's name",
        why: "Docker's error names the call, so the name is style",
        step: 2,
        edits: &[(
            "src/protocol.rs",
            "\"workshop: {failure}\"",
            "\"{failure}\"",
        )],
    },
    Fine {
        what: "the key of a failure is in lower case",
        why: "Docker and Podman read keys in any case",
        step: 2,
        edits: &[("src/protocol.rs", r#"json!({ "Err":"#, r#"json!({ "err":"#)],
    },
    Fine {
        what: "a Path is decoded as a Get",
        why: "without a volume, both have the same answer; in step 3, the \
              answers differ, and a check finds it",
        step: 2,
        edits: &[(
            "src/protocol.rs",
            "arguments(body).map(Self::Path)",
            "arguments(body).map(Self::Get)",
        )],
    },
];
