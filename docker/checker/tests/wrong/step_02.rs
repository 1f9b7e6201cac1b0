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
];

pub static FINE: &[Fine] = &[];
