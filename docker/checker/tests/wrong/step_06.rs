//! Wrong turns of step 6.

use super::{Fine, Wrong};

pub static WRONG: &[Wrong] = &[
    Wrong {
        check: "6.synced",
        what: "the plugin does not sync its files",
        step: 6,
        file: "src/store.rs",
        right: "        file.sync_all()\n    };",
        wrong: "        Ok(())\n    };",
        more: &[],
    },
    Wrong {
        check: "6.synced-name",
        what: "the plugin does not sync the folder that holds the volume",
        step: 6,
        file: "src/volumes.rs",
        right: "        rename(&staging, &folder)?;\n        sync(&self.root)\n",
        wrong: "        rename(&staging, &folder)\n",
        more: &[],
    },
    Wrong {
        check: "6.half-made",
        what: "the plugin prepares a volume in its final place",
        step: 6,
        file: "src/volumes.rs",
        right: "        let staging = self.staging_folder(&name)?;
        write_contents(&staging, &settings)?;
        rename(&staging, &folder)?;
        sync(&self.root)
",
        wrong: "        fs::create_dir_all(&folder)
            .map_err(Failure::system(\"making\", &folder))?;
        if let Err(failure) = write_contents(&folder, &settings) {
            let _ = remove(&folder);
            return Err(failure);
        }
        sync(&self.root)
",
        more: &[],
    },
    Wrong {
        check: "6.full-disk",
        what: "the plugin publishes a volume that it could not write",
        step: 6,
        file: "src/volumes.rs",
        right: "        write_contents(&staging, &settings)?;
        rename(&staging, &folder)?;
        sync(&self.root)
",
        wrong: "        let filled = write_contents(&staging, &settings);
        rename(&staging, &folder)?;
        sync(&self.root)?;
        filled
",
        more: &[],
    },
    Wrong {
        check: "6.outlives",
        what: "CreatedAt is the time of the last Get",
        step: 6,
        file: "src/volumes.rs",
        right: "Ok(Self { settings, created })",
        wrong: "let _ = created;
        Ok(Self { settings, created: SystemTime::now() })",
        more: &[],
    },
    Wrong {
        check: "6.options",
        what: "the plugin accepts any options for an existing volume after a restart",
        step: 6,
        file: "src/volumes.rs",
        right: "            let had = had.settings.canonical();\n",
        wrong: "            let had = had.settings.canonical();
            if !MADE.lock().unwrap().contains(&name) {
                return Ok(());
            }
",
        more: &[
            (
                "src/volumes.rs",
                "        let staging = self.staging_folder(&name)?;\n",
                "        MADE.lock().unwrap().push(name.clone());
        let staging = self.staging_folder(&name)?;
",
            ),
            (
                "src/volumes.rs",
                "/// Creates the contents of a volume in",
                "static MADE: std::sync::Mutex<Vec<String>> =
    std::sync::Mutex::new(Vec::new());
/// Creates the contents of a volume in",
            ),
        ],
    },
    Wrong {
        check: "6.removed",
        what: "after a restart, the plugin restores a removed volume",
        step: 6,
        file: "src/volumes.rs",
        right: "if let Err(err) = remove(&removed) {",
        wrong: "if let Err(err) = remove(&removed.join(FILES)) {",
        more: &[(
            "src/volumes.rs",
            "        for half in [NEW, REMOVED]",
            "        for name in names(&root.join(REMOVED))? {
            let removed = root.join(REMOVED).join(&name);
            if !removed.join(FILES).exists() {
                fs::rename(removed, root.join(name))?;
            }
        }
        for half in [NEW, REMOVED]",
        )],
    },
    Wrong {
        check: "6.kept",
        what: "the start removes kept files as leftovers",
        step: 6,
        file: "src/volumes.rs",
        right: "for half in [NEW, REMOVED].map(",
        wrong: "for half in [NEW, REMOVED, KEPT].map(",
        more: &[],
    },
    Wrong {
        check: "6.spoiled",
        what: "the plugin does not start if a file is unreadable",
        step: 6,
        file: "src/volumes.rs",
        right: "        if err.raw_os_error().is_some() {",
        wrong: "        if err.kind() == ErrorKind::InvalidData {",
        more: &[],
    },
    Wrong {
        check: "6.set-aside",
        what: "the plugin removes an unreadable volume",
        step: 6,
        file: "src/volumes.rs",
        right: "        rename(&folder, &aside)?;\n",
        wrong: "        remove(&folder).map_err(Failure::system(\"removing\", &folder))?;\n",
        more: &[],
    },
    Wrong {
        check: "6.set-aside-twice",
        what: "the plugin has one place per name for volumes that are set aside",
        step: 6,
        file: "src/volumes.rs",
        right: "        let aside = root::vacant(&aside, name)?;\n",
        wrong: "        let _ = fs::create_dir_all(&aside);
        let aside = aside.join(name);
",
        more: &[],
    },
    Wrong {
        check: "6.half-removed",
        what: "the plugin removes the files in their final place",
        step: 6,
        file: "src/volumes.rs",
        right: "        rename(&folder, &removed)?;
        sync(&self.root)?;
        if let Err(err) = remove(&removed) {",
        wrong: "        let gone = remove(&folder);
        sync(&self.root)?;
        if let Err(err) = gone {",
        more: &[],
    },
    Wrong {
        check: "6.alone",
        what: "the plugin takes a shared lock",
        step: 6,
        file: "src/root.rs",
        right: "lock.try_lock()",
        wrong: "lock.try_lock_shared()",
        more: &[],
    },
    Wrong {
        check: "6.private-again",
        what: "the plugin closes only an empty ROOT",
        step: 6,
        file: "src/root.rs",
        right: "if root.join(NEW).is_dir() {",
        wrong: "if root.join(NEW).is_file() {",
        more: &[],
    },
    Wrong {
        check: "6.other-root",
        what: "the plugin works in any folder with the path of ROOT",
        step: 6,
        file: "src/root.rs",
        right: "if now.is_ok_and(is_same) {",
        wrong: "if now.is_ok_and(|now| is_same(now) || true) {",
        more: &[],
    },
    Wrong {
        check: "6.strangers",
        what: "the plugin sets aside every folder in ROOT that is not a volume",
        step: 6,
        file: "src/volumes.rs",
        right: "Err(err) if root::is_no_volume(&err) => return",
        wrong: "Err(err) if root::is_no_volume(&err) && !folder.is_dir() => return",
        more: &[(
            "src/volumes.rs",
            "        if err.raw_os_error().is_some() {",
            "        if err.raw_os_error().is_some()
            && err.kind() != ErrorKind::NotFound
        {",
        )],
    },
    Wrong {
        check: "6.synced",
        what: "the plugin flushes its files, which syncs nothing",
        step: 6,
        file: "src/store.rs",
        right: "        file.sync_all()
    };",
        wrong: "        file.flush()
    };",
        more: &[],
    },
    Wrong {
        check: "6.synced",
        what: "the plugin syncs a file before it writes to it",
        step: 6,
        file: "src/store.rs",
        right: "        file.write_all(text)?;
",
        wrong: "        file.sync_all()?;
        file.write_all(text)
",
        more: &[
            (
                "src/store.rs",
                "        // Until now the text is in memory only, and a power cut would leave the
        // file empty.
        file.sync_all()
",
                "",
            ),
        ],
    },
    Wrong {
        check: "6.synced-name",
        what: "the plugin syncs the volume's folder instead of ROOT",
        step: 6,
        file: "src/volumes.rs",
        right: "        rename(&staging, &folder)?;
        sync(&self.root)
",
        wrong: "        rename(&staging, &folder)?;
        sync(&folder)
",
        more: &[],
    },
    Wrong {
        check: "6.synced-name",
        what: "the plugin syncs ROOT before the rename",
        step: 6,
        file: "src/volumes.rs",
        right: "        rename(&staging, &folder)?;
        sync(&self.root)
",
        wrong: "        sync(&self.root)?;
        rename(&staging, &folder)
",
        more: &[],
    },
    Wrong {
        check: "6.set-aside-twice",
        what: "the plugin moves every unreadable volume to .unreadable/NAME",
        step: 6,
        file: "src/volumes.rs",
        right: "        let aside = self.root.join(UNREADABLE).join(rfc3339(SystemTime::now()));
        let aside = root::vacant(&aside, name)?;
",
        wrong: "        let aside = self.root.join(UNREADABLE).join(name);
",
        more: &[],
    },
    Wrong {
        check: "6.set-aside-logged",
        what: "the plugin moves a volume aside without a word",
        step: 6,
        file: "src/volumes.rs",
        right: "        error!(\"{name} cannot be read ({err}): it is in {}\", aside.display());
",
        wrong: "        let _ = || error!(\"{err}: {}\", aside.display());
",
        more: &[],
    },
    Wrong {
        check: "6.set-aside-logged",
        what: "the log does not say where the volume is now",
        step: 6,
        file: "src/volumes.rs",
        right: r#"error!("{name} cannot be read ({err}): it is in {}", aside.display());"#,
        wrong: r#"error!("{name} cannot be read: {err}");"#,
        more: &[],
    },
    Wrong {
        check: "6.synced-removal",
        what: "the plugin does not sync ROOT in Remove",
        step: 6,
        file: "src/volumes.rs",
        right: "        rename(&folder, &removed)?;
        sync(&self.root)?;
        if let",
        wrong: "        rename(&folder, &removed)?;
        if let",
        more: &[],
    },
    Wrong {
        check: "6.synced-removal",
        what: "the plugin syncs the folder to which it has moved the volume",
        step: 6,
        file: "src/volumes.rs",
        right: "        rename(&folder, &removed)?;
        sync(&self.root)?;
        if let",
        wrong: "        rename(&folder, &removed)?;
        sync(&removed)?;
        if let",
        more: &[],
    },
    Wrong {
        check: "6.in-the-way",
        what: "the plugin has one place per name for removed volumes",
        step: 6,
        file: "src/volumes.rs",
        right: "        let removed = root::vacant(&self.root.join(REMOVED), name)?;
",
        wrong: "        let removed = self.root.join(REMOVED).join(name);
",
        more: &[],
    },
    Wrong {
        check: "6.not-deletable",
        what: "the plugin returns the error of the deletion",
        step: 6,
        file: "src/volumes.rs",
        right: "        if let Err(err) = remove(&removed) {
            warn!(\"{name} is gone, {} is not: {err}\", removed.display());
        }
        Ok(())
",
        wrong: "        let _ = || warn!(\"{name}\");
        remove(&removed).map_err(Failure::system(\"removing\", &removed))
",
        more: &[],
    },
    Wrong {
        check: "6.deleted",
        what: "the plugin leaves the files to the next start",
        step: 6,
        file: "src/volumes.rs",
        right: "if let Err(err) = remove(&removed) {",
        wrong: r#"if let Err(err) = remove(Path::new("/nonexistent")) {"#,
        more: &[],
    },
];

pub static FINE: &[Fine] = &[
    Fine {
        what: "the plugin writes a file by File::create",
        why: "the folder is new, or its old file has just been removed",
        step: 6,
        edits: &[
            (
                "src/store.rs",
                "File::create_new(path)",
                "File::create(path)",
            ),
        ],
    },
    Fine {
        what: "the plugin syncs a file by sync_data",
        why: "that writes the bytes and the length, and nothing else matters here",
        step: 6,
        edits: &[
            (
                "src/store.rs",
                "        file.sync_all()
    };",
                "        file.sync_data()
    };",
            ),
        ],
    },
    Fine {
        what: "the plugin does not sync the directory of the files",
        why: "ext4 and xfs write it with the volume's file; on btrfs, only prove power can see the loss",
        step: 6,
        edits: &[
            (
                "src/volumes.rs",
                "    sync(&files)
",
                "    Ok(())
",
            ),
        ],
    },
    Fine {
        what: "the error of an unreadable volume is returned once",
        why: "Docker asks by Get before a Create, so the Create succeeds",
        step: 6,
        edits: &[
            (
                "src/volumes.rs",
                "aside.display());
        Ok(None)",
                "aside.display());
        Err(Failure::system(\"reading\", &folder)(err))",
            ),
        ],
    },
    Fine {
        what: "unreadable volumes have numbers instead of times",
        why: "no volume replaces another one, and the log says when",
        step: 6,
        edits: &[
            (
                "src/volumes.rs",
                "self.root.join(UNREADABLE).join(rfc3339(SystemTime::now()))",
                "self.root.join(UNREADABLE)",
            ),
        ],
    },
    Fine {
        what: "Remove deletes what is in the way in .removed",
        why: "everything there is to be deleted anyway",
        step: 6,
        edits: &[
            (
                "src/volumes.rs",
                "        let removed = root::vacant(&self.root.join(REMOVED), name)?;
",
                "        let _ = remove(&self.root.join(REMOVED).join(name));
        let removed = self.root.join(REMOVED).join(name);
",
            ),
        ],
    },
];
