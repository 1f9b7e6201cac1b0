//! Wrong turns of step 8.

use super::{Fine, Wrong};

pub static WRONG: &[Wrong] = &[
    Wrong {
        check: "8.ext4",
        what: "the plugin opens an image without creating it",
        step: 8,
        file: "src/filesystem.rs",
        right: "        .create_new(true)\n",
        wrong: "",
        more: &[],
    },
    Wrong {
        check: "8.bad-size",
        what: "the plugin accepts a size of 0",
        step: 8,
        file: "src/size.rs",
        right: ".filter(|bytes| *bytes > 0)",
        wrong: "",
        more: &[],
    },
    Wrong {
        check: "8.bad-size",
        what: "the plugin wraps a size around at 64 bits",
        step: 8,
        file: "src/size.rs",
        right: "    i64::try_from(bytes).ok().filter(|bytes| *bytes > 0)",
        wrong: "    Some(bytes as i64).filter(|bytes| *bytes > 0)",
        more: &[],
    },
    Wrong {
        check: "8.size-and-type",
        what: "the plugin accepts a size for a directory",
        step: 8,
        file: "src/options.rs",
        right: "(Some(size), _) if self.kind == Kind::Dir => format!(",
        wrong: "(Some(size), _) if name.is_empty() => format!(",
        more: &[],
    },
    Wrong {
        check: "8.size-alone",
        what: "without a type, the plugin always creates a directory",
        step: 8,
        file: "src/options.rs",
        right: "            settings.kind = Kind::Ext4;\n",
        wrong: "            settings.size = None;\n",
        more: &[],
    },
    Wrong {
        check: "8.bad-owner",
        what: "the plugin reads a user's name as 0",
        step: 8,
        file: "src/options.rs",
        right: "    id.ok_or_else(|| {",
        wrong: "    id.or(Some(0)).filter(|_| digits || value == \"root\").ok_or_else(|| {",
        more: &[],
    },
    Wrong {
        check: "8.same-size",
        what: "the plugin does not compare sizes",
        step: 8,
        file: "src/options.rs",
        right: "            (\"size\", self.size.map(size::format)),\n",
        wrong: "            (\"size\", self.size.map(|size| size::format(size.min(16 << 20)))),\n",
        more: &[],
    },
    Wrong {
        check: "8.same-size",
        what: "the plugin refuses fractions in a size",
        step: 8,
        file: "src/size.rs",
        right: "count.split_once('.')",
        wrong: "count.split_once(',')",
        more: &[],
    },
    Wrong {
        check: "8.full-disk",
        what: "the plugin leaves an incomplete image behind",
        step: 8,
        file: "src/volumes.rs",
        right: "                let _ = remove(&staging);\n",
        wrong: "",
        more: &[],
    },
    Wrong {
        check: "8.size-holds",
        what: "the image is larger than requested",
        step: 8,
        file: "src/filesystem.rs",
        right: "run(&mkfs, options, &[image]).map(drop)",
        wrong: "File::options().append(true).open(image)
        .and_then(|file| file.set_len(4 * settings.size.unwrap_or_default()))
        .map_err(Failure::system(\"making\", image))?;
    run(&mkfs, options, &[image]).map(drop)",
        more: &[],
    },
    Wrong {
        check: "8.room",
        what: "the plugin leaves the number of inodes to mkfs",
        step: 8,
        file: "src/options.rs",
        right: "\"-i\", \"16384\", ",
        wrong: "",
        more: &[],
    },
    Wrong {
        check: "8.empty",
        what: "the plugin puts a file beside those of the container",
        step: 8,
        file: "src/filesystem.rs",
        right: "    let made = make_files(&files, settings);\n",
        wrong: "    let _ = fs::create_dir_all(files.join(\"meta\"));
    let made = make_files(&files, settings);
",
        more: &[],
    },
    Wrong {
        check: "8.owner",
        what: "the plugin sets owner and mode of another folder",
        step: 8,
        file: "src/filesystem.rs",
        right: "    let made = make_files(&files, settings);\n",
        wrong: "    let _ = fs::create_dir_all(&files);
    let made = make_files(&folder.join(FS), settings);
",
        more: &[],
    },
    Wrong {
        check: "8.status-now",
        what: "Status has the requested mode while nothing is mounted",
        step: 8,
        file: "src/options.rs",
        right: "else { return status };",
        wrong: "else { return self.canonical() };",
        more: &[],
    },
    Wrong {
        check: "8.failed-mount",
        what: "Mount succeeds without a filesystem",
        step: 8,
        file: "src/filesystem.rs",
        right: "        false => mount_anew(folder, settings),\n",
        wrong: "        false => {
            let _ = mount_anew(folder, settings);
            let _ = fs::create_dir_all(folder.join(FILES));
            Ok(())
        }
",
        more: &[],
    },
    Wrong {
        check: "8.not-mounted",
        what: "containers may write into the folder below the mount",
        step: 8,
        file: "src/filesystem.rs",
        right: "pub const FILES: &str = \"fs/files\";",
        wrong: "pub const FILES: &str = \"fs\";",
        more: &[
            (
                "src/filesystem.rs",
                "    let made = make_files(&files, settings);\n",
                "    let _ = fs::remove_dir(files.join(\"lost+found\"));
    let made = make_files(&files, settings);
",
            ),
            (
                "src/volumes.rs",
                "metadata.settings.status(&mountpoint)",
                "metadata.settings.status(
                match metadata.settings.kind == Kind::Dir
                    || mounts::is_mounted(&mountpoint)?
                {
                    true => &mountpoint,
                    false => Path::new(\"/nowhere\"),
                },
            )",
            ),
        ],
    },
    Wrong {
        check: "8.shared",
        what: "the plugin unmounts at any Unmount",
        step: 8,
        file: "src/filesystem.rs",
        right: "    counted.map_err(Failure::system(\"counting in\", &place))?;
    unmount_if_unused(folder)
",
        wrong: "    counted.map_err(Failure::system(\"counting in\", &place))?;
    match names(&folder.join(USES)).is_ok_and(|ids| uses == 1 && !ids.is_empty()) {
        true => umount(&folder.join(FS)),
        false => unmount_if_unused(folder),
    }
",
        more: &[],
    },
    Wrong {
        check: "8.same-id",
        what: "the plugin keeps a set of IDs",
        step: 8,
        file: "src/filesystem.rs",
        right: "            .and_then(|mut uses| uses.write_all(b\"+\"))
",
        wrong: "            .and_then(|mut uses| match SET.lock().unwrap().insert(place.clone()) {
                true => uses.write_all(b\"+\"),
                false => Ok(()),
            })
",
        more: &[(
            "src/filesystem.rs",
            "/// Counts one more use",
            "static SET: std::sync::Mutex<std::collections::BTreeSet<std::path::PathBuf>> =
    std::sync::Mutex::new(std::collections::BTreeSet::new());
/// Counts one more use",
        )],
    },
    Wrong {
        check: "8.unknown-id",
        what: "the plugin refuses an unknown ID",
        step: 8,
        file: "src/filesystem.rs",
        right: "        0 | 1 => remove(&place),\n",
        wrong: "        0 | 1 => fs::remove_file(&place),\n",
        more: &[],
    },
    Wrong {
        check: "8.last-use",
        what: "the plugin never unmounts",
        step: 8,
        file: "src/filesystem.rs",
        right: "    counted.map_err(Failure::system(\"counting in\", &place))?;
    unmount_if_unused(folder)
",
        wrong: "    counted.map_err(Failure::system(\"counting in\", &place))
",
        more: &[],
    },
    Wrong {
        check: "8.extra-unmount",
        what: "the plugin unmounts while a container still has the filesystem",
        step: 8,
        file: "src/filesystem.rs",
        right: "        info!(\"{} stays mounted: {who}\", folder.display());
        return Ok(());
",
        wrong: "        info!(\"{} is unmounted: {who}\", folder.display());
",
        more: &[],
    },
    Wrong {
        check: "8.crash",
        what: "the plugin starts with no uses",
        step: 8,
        file: "src/filesystem.rs",
        right: "            [name, FS] => log(unmount_if_unused(&root.join(name))),\n",
        wrong: "            [_, FS] => log(umount(&path)),\n",
        more: &[],
    },
    Wrong {
        check: "8.once",
        what: "the plugin mounts every volume in use again at each start",
        step: 8,
        file: "src/filesystem.rs",
        right: "            [name, FS] => log(unmount_if_unused(&root.join(name))),\n",
        wrong: "            [_, FS] => log(run(\"mount\", &[\"--bind\"], &[&path, &path]).map(drop)),\n",
        more: &[],
    },
    Wrong {
        check: "8.hung",
        what: "calls for one volume wait for each other for ever",
        step: 8,
        file: "src/names.rs",
        right: "            if left.is_zero() || taken.waiting >= MOST_WAITING {",
        wrong: "            if taken.waiting > usize::MAX - MOST_WAITING {",
        more: &[(
            "src/names.rs",
            "wait_timeout(taken, left)",
            "wait_timeout(taken, left.max(self.patience))",
        )],
    },
    Wrong {
        check: "8.hung",
        what: "the plugin waits for programs without a limit",
        step: 8,
        file: "src/programs.rs",
        right: "    let patience = 2 * patience;\n",
        wrong: "    let patience = 100 * patience;\n",
        more: &[],
    },
    Wrong {
        check: "8.tmpfs",
        what: "the plugin mounts a tmpfs without a size",
        step: 8,
        file: "src/filesystem.rs",
        right: "\"nodev,size={size},mode",
        wrong: "\"nodev,nr_inodes={size},mode",
        more: &[],
    },
    Wrong {
        check: "8.stale",
        what: "the plugin refuses Remove while uses are counted",
        step: 8,
        file: "src/filesystem.rs",
        right: "        warn!(\"{name} was never unmounted for {id}\");\n",
        wrong: "        return Err(in_use(format!(\"{id} has it\")));\n",
        more: &[],
    },
    Wrong {
        check: "8.elsewhere",
        what: "the plugin removes a volume right after its own unmount",
        step: 8,
        file: "src/filesystem.rs",
        right: "    if let Some(who) = mounts::holders(&folder.join(FS))? {
        return Err(in_use(who));
    }
",
        wrong: "",
        more: &[(
            "src/filesystem.rs",
            "        Some(who) => Err(in_use(who)),\n",
            "        Some(who) => Ok(drop(who)),\n",
        )],
    },
    Wrong {
        check: "8.keep",
        what: "the plugin ignores the type and size of kept files",
        step: 8,
        file: "src/volumes.rs",
        right: "            same_files(&kept, settings)?;\n",
        wrong: "            let _ = same_files(&kept, settings);\n",
        more: &[],
    },
    Wrong {
        check: "8.private-image",
        what: "every user may read the image",
        step: 8,
        file: "src/filesystem.rs",
        right: "        .mode(0o600)
",
        wrong: "",
        more: &[],
    },
    Wrong {
        check: "8.sparse",
        what: "the plugin fills the image with zeros",
        step: 8,
        file: "src/filesystem.rs",
        right: ".and_then(|file| file.set_len(settings.size.unwrap_or_default()))",
        wrong: ".and_then(|mut file| {
            let size = settings.size.unwrap_or_default();
            file.write_all(&vec![0; usize::try_from(size).unwrap_or(0)])
        })",
        more: &[],
    },
    Wrong {
        check: "8.undone",
        what: "the plugin undoes nothing after a Mount that failed",
        step: 8,
        file: "src/filesystem.rs",
        right: "        // Docker sends no Unmount for a Mount that failed.
        log(unmount_if_unused(folder));
",
        wrong: "",
        more: &[],
    },
    Wrong {
        check: "8.undone",
        what: "a Mount that fails unmounts what another container uses",
        step: 8,
        file: "src/filesystem.rs",
        right: "        // Docker sends no Unmount for a Mount that failed.
        log(unmount_if_unused(folder));
",
        wrong: "        log(umount(&folder.join(FS)));
",
        more: &[],
    },
    Wrong {
        check: "8.busy",
        what: "the plugin unmounts lazily",
        step: 8,
        file: "src/filesystem.rs",
        right: r#"run("umount", &[], &[path])"#,
        wrong: r#"run("umount", &["--lazy"], &[path])"#,
        more: &[],
    },
    Wrong {
        check: "8.tmpfs-source",
        what: "the source of a tmpfs is the folder on which it is mounted",
        step: 8,
        file: "src/filesystem.rs",
        right: r#"("workshop".into(), format!("nodev,size={size},mode=700"))"#,
        wrong: r#"(fs.clone(), format!("nodev,size={size},mode=700"))"#,
        more: &[],
    },
    Wrong {
        check: "8.same-id",
        what: "each Mount writes the file of its ID anew",
        step: 8,
        file: "src/filesystem.rs",
        right: "            .append(true)
            .create(true)
            .open(&place)
",
        wrong: "            .write(true)
            .create(true)
            .truncate(true)
            .open(&place)
",
        more: &[],
    },
    Wrong {
        check: "8.same-id",
        what: "each Unmount removes the file of its ID",
        step: 8,
        file: "src/filesystem.rs",
        right: "        0 | 1 => remove(&place),
",
        wrong: "        0..1000 => remove(&place),
",
        more: &[],
    },
    Wrong {
        check: "8.unknown-id",
        what: "the plugin takes a missing file for an error",
        step: 8,
        file: "src/filesystem.rs",
        right: "fs::metadata(&place).map_or(0, |uses| uses.len());",
        wrong: "fs::metadata(&place)
        .map_err(Failure::system(\"counting in\", &place))?
        .len();",
        more: &[],
    },
    Wrong {
        check: "8.last-use",
        what: "the plugin leaves an empty file for an ID without uses",
        step: 8,
        file: "src/filesystem.rs",
        right: "        0 | 1 => remove(&place),
",
        wrong: "        0 => remove(&place),
",
        more: &[],
    },
];

pub static FINE: &[Fine] = &[
    Fine {
        what: "the plugin unmounts by force",
        why: "on a local filesystem that is in use, the kernel refuses this as well",
        step: 8,
        edits: &[(
            "src/filesystem.rs",
            r#"run("umount", &[], &[path])"#,
            r#"run("umount", &["--force"], &[path])"#,
        )],
    },
    Fine {
        what: "the plugin creates the image even if it exists",
        why: "make calls this only if there is no image",
        step: 8,
        edits: &[("src/filesystem.rs", ".create_new(true)", ".create(true)")],
    },
    Fine {
        what: "Remove does not ask whether the image has a loop device",
        why: "only a process in another PID namespace is invisible to holders, and no check starts one",
        step: 8,
        edits: &[(
            "src/filesystem.rs",
            "    match mounts::device(&folder.join(IMAGE))? {
        Some(who) => Err(in_use(who)),
        None => Ok(()),
    }
",
            "    let _ = mounts::device(&folder.join(IMAGE))?.map(in_use);
    Ok(())
",
        )],
    },
];
