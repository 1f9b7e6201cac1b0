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
    Wrong {
        check: "3.get",
        what: "the answer to Get has no name",
        step: 3,
        file: "src/volumes.rs",
        right: "Some((name, _)) => Ok(volume(name)),",
        wrong: "Some(_) => Ok(volume(\"\")),",
        more: &[],
    },
    Wrong {
        check: "3.again",
        what: "the plugin does not store the options",
        step: 3,
        file: "src/volumes.rs",
        right: "self.by_name.insert(name, options);",
        wrong: "self.by_name.insert(name, Options::new());",
        more: &[],
    },
    Wrong {
        check: "3.other-options",
        what: "the plugin compares only the names of the options",
        step: 3,
        file: "src/volumes.rs",
        right: "had.get(*key) != wanted.get(*key)",
        wrong: "had.contains_key(*key) != wanted.contains_key(*key)",
        more: &[],
    },
    Wrong {
        check: "3.refused",
        what: "the plugin stores the options before it compares them",
        step: 3,
        file: "src/volumes.rs",
        right: "        match self.by_name.get(&name).map(|had| difference(had, &options)) {\n",
        wrong: "        let had = self.by_name.insert(name.clone(), options.clone());
        match had.map(|had| difference(&had, &options)) {\n",
        more: &[],
    },
    Wrong {
        check: "3.remove",
        what: "the plugin acknowledges a Remove, and forgets nothing",
        step: 3,
        file: "src/volumes.rs",
        right: "match self.by_name.remove(name) {",
        wrong: "match self.by_name.get(name) {",
        more: &[],
    },
];

pub static FINE: &[Fine] = &[
    Fine {
        what: "a Remove of an unknown volume succeeds",
        why: "Docker sends Remove only after a Get that has found the volume",
        step: 3,
        edits: &[(
            "src/volumes.rs",
            "            Some(_) => Ok(()),
            None => Err(Failure::NoSuchVolume(name.to_owned())),
",
            "            Some(_) | None => Ok(()),\n",
        )],
    },
    Fine {
        what: "Get takes the name from the request, not from the map",
        why: "a volume is found only by its own name, so both are the same",
        step: 3,
        edits: &[(
            "src/volumes.rs",
            "Some((name, _)) => Ok(volume(name)),",
            "Some(_) => Ok(volume(name)),",
        )],
    },
    Fine {
        what: "List has no order",
        why: "Docker sorts the volumes itself",
        step: 3,
        edits: &[
            (
                "src/volumes.rs",
                "use std::collections::BTreeMap;",
                "use std::collections::HashMap as Volatile;",
            ),
            (
                "src/volumes.rs",
                "by_name: BTreeMap<String, Options>",
                "by_name: Volatile<String, Options>",
            ),
        ],
    },
];
