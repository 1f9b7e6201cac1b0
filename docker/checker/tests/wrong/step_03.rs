//! Wrong turns of step 3.

use super::{Fine, Wrong};

pub static WRONG: &[Wrong] = &[
    Wrong {
        check: "3.get",
        what: "the plugin finds a volume by the beginning of its name",
        step: 3,
        file: "src/volumes.rs",
        right: "match self.by_name.get_key_value(name) {",
        wrong: "match self.by_name.iter().find(|pair| name.starts_with(pair.0)) {",
        more: &[],
    },
    Wrong {
        check: "3.again",
        what: "the plugin refuses a second Create with the same options",
        step: 3,
        file: "src/volumes.rs",
        right: "Some(None) => Ok(()),",
        wrong: r#"Some(None) => Err(Failure::OtherOptions(name, "it is there".into())),"#,
        more: &[],
    },
    Wrong {
        check: "3.other-options",
        what: "the plugin accepts different options and ignores them",
        step: 3,
        file: "src/volumes.rs",
        right: "Some(Some(what)) => Err(Failure::OtherOptions(name, what)),",
        wrong: "Some(Some(_)) => Ok(()),",
        more: &[],
    },
    Wrong {
        check: "3.list",
        what: "the plugin lists only one volume",
        step: 3,
        file: "src/volumes.rs",
        right: "self.by_name.keys().map(",
        wrong: "self.by_name.keys().take(1).map(",
        more: &[],
    },
    Wrong {
        check: "3.remove",
        what: "the plugin removes all volumes at once",
        step: 3,
        file: "src/volumes.rs",
        right: "match self.by_name.remove(name) {",
        wrong: "match self.by_name.remove(name).map(|_| self.by_name.clear()) {",
        more: &[],
    },
    Wrong {
        check: "3.create-anew",
        what: "the plugin refuses the name of a removed volume",
        step: 3,
        file: "src/volumes.rs",
        right: "            None => {\n                self.by_name.insert(",
        wrong: "            None => {
                use std::sync::Mutex;
                static USED: Mutex<Vec<String>> = Mutex::new(Vec::new());
                let mut used = USED.lock().unwrap();
                if used.contains(&name) {
                    return Err(Failure::BadName(name));
                }
                used.push(name.clone());
                self.by_name.insert(",
        more: &[],
    },
    Wrong {
        check: "3.case",
        what: "the plugin stores names in lower case",
        step: 3,
        file: "src/volumes.rs",
        right: "        if name.contains('/') {",
        wrong: "        let name = name.to_lowercase();\n        if name.contains('/') {",
        more: &[],
    },
    Wrong {
        check: "3.path",
        what: "the answer to Path has no path",
        step: 3,
        file: "src/main.rs",
        right: "Ok(Reply::Mountpoint { mountpoint })",
        wrong: "drop(mountpoint);\n            Ok(Reply::Done {})",
        more: &[],
    },
];

pub static FINE: &[Fine] = &[];
