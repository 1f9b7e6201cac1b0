//! Hostile names, ids, options and links, which lead out of ROOT.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::Result;
use stand_in::daemon::{Call, field};
use stand_in::finding::{Fault, Outcome, wrong};
use stand_in::plugin::{Place, Plugin};
use stand_in::root::Root;

use super::model::{
    Answer, Options, Session, create, difference, listing, options, tool,
};
use super::{Need, Proof, Subject};

const fn proof(
    what: &'static str,
    run: fn(&Subject) -> Result<String, Fault>,
) -> Proof {
    Proof { name: "hostile-names", what, from: 6, needs: &[], run }
}

pub(super) const PROOFS: &[Proof] = &[
    proof("names that lead elsewhere", names),
    proof("ids that lead elsewhere", ids),
    proof("options that are too long or make no sense", hostile_options),
    proof("links in ROOT that lead out of it, type=dir", |subject| {
        links(subject, DIR)
    }),
    Proof {
        from: 8,
        needs: &[
            Need::Root,
            Need::Loops,
            Need::Program("mkfs.ext4", "e2fsprogs"),
        ],
        ..proof("links in ROOT that lead out of it, type=ext4", |subject| {
            links(subject, EXT4)
        })
    },
    proof("entries of ROOT that are not volumes", no_volumes),
];

const NAME: &str = "amber-1";

type Pairs = &'static [(&'static str, &'static str)];

const DIR: Pairs = &[("mode", "0777")];
const EXT4: Pairs = &[("mode", "0777"), ("type", "ext4"), ("size", "8m")];

/// A snapshot of everything around ROOT, which must not change, and a folder to
/// which links lead.
struct Around {
    place: Place,
    before: BTreeMap<PathBuf, String>,
}

impl Around {
    fn new(kind: Pairs) -> Result<Self> {
        let place = Place::new()?;
        let outside = place.folder().join("outside");
        // The folder looks like a volume.
        fs::create_dir_all(outside.join("files/deep"))?;
        let state = r#"{"keep":"false","mode":"0755","type":"dir"}"#;
        fs::write(outside.join("volume.json"), state)?;
        fs::write(outside.join("files/deep/secret"), "a secret")?;
        fs::write(outside.join("plain"), "a file")?;
        if kind == EXT4 {
            let image = outside.join("image");
            File::create(&image)?.set_len(8 << 20)?;
            tool(&[&"mkfs.ext4", &"-q", &image])?;
        }
        let before = Self::look(&place);
        Ok(Self { place, before })
    }

    fn outside(&self) -> PathBuf {
        self.place.folder().join("outside")
    }

    fn root(&self) -> PathBuf {
        self.place.volumes()
    }

    /// Each entry with its text, owner, mode and time of change.
    fn look(place: &Place) -> BTreeMap<PathBuf, String> {
        let ours = ["volumes", "run"].map(Path::new);
        let mut found = listing(place.folder(), |path| !ours.contains(&path));
        for (path, kind) in &mut found {
            let path = place.folder().join(path);
            let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
            let text = match metadata.is_file() {
                true => fs::read_to_string(&path).unwrap_or_default(),
                false => String::new(),
            };
            kind.push_str(&format!(
                " ({:o}, of {}:{}, {} bytes {text:?}, changed {}.{})",
                metadata.mode(),
                metadata.uid(),
                metadata.gid(),
                metadata.len(),
                metadata.ctime(),
                metadata.ctime_nsec(),
            ));
        }
        found
    }

    /// Tests that nothing around ROOT has changed.
    fn is_untouched(&self, sent: &str) -> Outcome {
        match difference(&self.before, &Self::look(&self.place)) {
            None => Ok(()),
            Some(got) => {
                Err(wrong(sent, "nothing outside ROOT is touched", got))
            }
        }
    }
}

/// Words that lead out of ROOT or nowhere. None of them is a valid name.
fn elsewhere(around: &Around) -> Vec<String> {
    let outside = around.outside().display().to_string();
    let mut words: Vec<String> = [
        "",
        ".",
        "..",
        "...",
        "../outside",
        "../outside/plain",
        "../run",
        "../run/plugin.sock",
        "../volumes",
        "a/b",
        "a/../../outside",
        "amber-1/../../outside",
        "amber-1/files",
        "amber-1/",
        "./amber-1",
        ".new",
        ".kept",
        ".removed",
        ".unreadable",
        ".lock",
        ".new/amber-1",
        "amber-1\0",
        "\0",
        "../outside\0",
        "a\nb",
        "a\rb",
        "a\tb",
        "\u{1b}[31mred",
        "\u{7f}\u{7f}",
        "\u{202e}1-rebma",
        "amber\u{200f}-1",
        "amber\u{200b}-1",
        "\u{feff}amber-1",
        "a\u{301}-1",
        "\u{ff0e}\u{ff0e}\u{2215}outside",
        "amber 1",
        "a\\..\\b",
        "~root",
        "$(touch outside)",
        "`touch outside`",
        "a;touch outside",
        "a|b",
        "a*",
        "-rf",
        "--help",
        "\u{1f980}\u{1f980}",
    ]
    .map(str::to_owned)
    .into();
    // A wrong program, run by root, removes the folder that a word leads to, or
    // gives it another mode. So no word leads out of the proof's own folder.
    words.push(format!("/{outside}"));
    words.push(format!("{outside}/.."));
    words.push(format!("{outside}/plain"));
    words.push(outside);
    words.push("n".repeat(256));
    words.push("n".repeat(4096));
    words.push("../".repeat(1365) + "x");
    words.push("\u{202e}".repeat(1365));
    words
}

/// Every kind of call about a name.
fn calls(name: &str, id: &str, kind: Pairs) -> Vec<Call> {
    vec![
        Call::get(name),
        Call::path(name),
        Call::mount(name, id),
        Call::unmount(name, id),
        Call::remove(name),
        create(name, &options(&[])),
        create(name, &kept(kind, "true")),
        Call::get(name),
        Call::mount(name, id),
        Call::unmount(name, id),
        Call::remove(name),
    ]
}

fn kept(kind: Pairs, keep: &str) -> Options {
    let mut made = options(kind);
    made.insert("keep".to_owned(), keep.to_owned());
    made
}

fn names(subject: &Subject) -> Result<String, Fault> {
    let around = Around::new(DIR)?;
    let mut session = Session::start(&subject.program, &around.place)?;
    subject.remember(session.log());
    session.must(&create(NAME, &options(&[])))?;
    let inside = inside(&around);
    let words = elsewhere(&around);
    let mut sent = 0;
    for name in &words {
        for call in calls(name, "id", DIR) {
            let text = session.must_fail(&call)?;
            is_tame(&call, &text)?;
            sent += 1;
        }
        around.is_untouched(&format!("calls about {name:?}"))?;
        if let Some(got) = difference(&inside, &self::inside(&around)) {
            let sent = format!("calls about {name:?}");
            return Err(wrong(sent, "nothing in ROOT changes", got));
        }
    }
    let names = session.names()?;
    if !names.iter().eq([NAME]) {
        let got = format!("{names:?}");
        return Err(wrong(Call::list(), format!("only {NAME}"), got));
    }
    Ok(format!("{} names, {sent} calls refused", words.len()))
}

fn inside(around: &Around) -> BTreeMap<PathBuf, String> {
    listing(&around.root(), |_| true)
}

/// Tests that an error is one short line without invisible characters.
fn is_tame(call: &Call, text: &str) -> Outcome {
    let hidden = |c: char| {
        c.is_control()
            || ('\u{202a}'..='\u{202e}').contains(&c)
            || ('\u{200b}'..='\u{200f}').contains(&c)
    };
    let tame = text.len() < 1000 && !text.contains(hidden);
    match tame {
        true => Ok(()),
        false => {
            let expected = "an Err of one line without invisible characters";
            Err(wrong(call, expected, format!("{text:?}")))
        }
    }
}

fn ids(subject: &Subject) -> Result<String, Fault> {
    let around = Around::new(DIR)?;
    let mut session = Session::start(&subject.program, &around.place)?;
    subject.remember(session.log());
    session.must(&create(NAME, &options(&[])))?;
    let words = elsewhere(&around);
    for id in &words {
        for call in [Call::mount(NAME, id), Call::unmount(NAME, id)] {
            // Docker's ids have 64 hexadecimal digits. For others, the plugin may
            // give any answer.
            answered(&mut session, &call)?;
        }
        around.is_untouched(&format!("Mount and Unmount, ID {id:?}"))?;
    }
    session.must(&Call::remove(NAME))?;
    around.is_untouched("and then Remove")?;
    Ok(format!("{} ids", words.len()))
}

/// Requires an answer, whether a success or an error.
fn answered(session: &mut Session, call: &Call) -> Outcome {
    match session.ask(call) {
        Answer::Refusal(text) => is_tame(call, &text),
        Answer::Missing(why) => Err(wrong(call, "an answer", why)),
        Answer::Success(_) => Ok(()),
    }
}

fn hostile_options(subject: &Subject) -> Result<String, Fault> {
    let around = Around::new(DIR)?;
    let mut session = Session::start(&subject.program, &around.place)?;
    subject.remember(session.log());
    let many =
        (0..10_000).map(|number| (format!("option-{number}"), "x".to_owned()));
    let long = "9".repeat(100_000);
    let mut sets: Vec<Options> = vec![
        many.collect(),
        [(long.clone(), String::new())].into(),
        options(&[("mode", &long)]),
        options(&[("keep", &long)]),
        options(&[("type", &long)]),
        options(&[("size", &long), ("type", "ext4")]),
        options(&[("uid", &long), ("type", "ext4")]),
    ];
    for word in elsewhere(&around) {
        sets.push([(word.clone(), "true".to_owned())].into());
        for key in ["mode", "keep", "type"] {
            sets.push(options(&[(key, &word)]));
        }
        for key in ["size", "uid", "gid"] {
            sets.push(options(&[("type", "ext4"), (key, &word)]));
        }
    }
    for set in &sets {
        let call = create(NAME, set);
        let text = session.must_fail(&call)?;
        is_tame(&call, &text)?;
        around.is_untouched(&call.to_string())?;
    }
    let names = session.names()?;
    if !names.is_empty() {
        return Err(wrong(Call::list(), "no volume", format!("{names:?}")));
    }
    Ok(format!("{} sets of options refused", sets.len()))
}

fn links(subject: &Subject, kind: Pairs) -> Result<String, Fault> {
    let places = [
        "NAME",
        "NAME/files",
        "NAME/fs",
        "NAME/fs/files",
        "NAME/volume.json",
        "NAME/image",
        "NAME/uses",
        ".new/NAME",
        ".kept/NAME",
        ".kept/NAME/files",
        ".kept/NAME/fs",
        ".kept/NAME/fs/files",
        ".kept/NAME/volume.json",
        ".kept/NAME/image",
        ".kept/NAME/uses",
        ".removed/NAME",
    ];
    let targets =
        ["", "files", "plain", "image", "volume.json", "is-not-there"];
    let mut tried = 0;
    for place in places {
        for target in targets {
            planted(subject, kind, place, target)?;
            tried += 1;
            subject.progress(|| format!("{tried} links"));
        }
    }
    for folder in [".new", ".kept", ".removed", ".unreadable"] {
        for target in targets {
            led_away(subject, kind, folder, target)?;
            tried += 1;
        }
    }
    Ok(format!("{tried} links, each with calls and starts"))
}

/// Puts a link in the place of one of the hidden folders of ROOT.
fn led_away(
    subject: &Subject,
    kind: Pairs,
    folder: &str,
    target: &str,
) -> Outcome {
    let around = Around::new(kind)?;
    let what = format!("ROOT/{folder} is a link to outside/{target}");
    let mut session = Session::start(&subject.program, &around.place)?;
    session.must(&create(NAME, &kept(kind, "false")))?;
    drop(session);
    let root = around.place.root();
    root.open()?.write(format!("{NAME}/volume.json"), "{")?;
    plant(root, folder, &around.outside().join(target))?;

    // The plugin may end if its log names the folder.
    let mut plugin = Plugin::spawn(&subject.program, &around.place)?;
    let log = plugin.log();
    subject.remember(log.clone());
    let listens = plugin.listens_on(&around.place.socket());
    drop(plugin);
    if let Err(got) = listens {
        let log = log.last_lines(20).join(" | ");
        if !log.contains(&format!("…/volumes/{folder}")) {
            let expected = "the plugin listens, or its log names the folder";
            return Err(wrong(what, expected, format!("{got}: {log}")));
        }
        return around.is_untouched(&format!("{what}, and a start"));
    }
    let mut session = Session::start(&subject.program, &around.place)?;
    subject.remember(session.log());
    used(&mut session, &around, kind)?;
    around.is_untouched(&format!("{what}, a start, and calls"))
}

/// Puts a link into ROOT before and after a start, and makes calls about its name.
fn planted(subject: &Subject, kind: Pairs, at: &str, target: &str) -> Outcome {
    let around = Around::new(kind)?;
    let what = format!("a link at ROOT/{at} to outside/{target}, and calls");
    let mut session = Session::start(&subject.program, &around.place)?;
    subject.remember(session.log());
    let keep = if at.starts_with(".kept") { "true" } else { "false" };
    session.must(&create(NAME, &kept(kind, keep)))?;
    if !at.starts_with("NAME") {
        session.must(&Call::remove(NAME))?;
    }
    let link = at.replace("NAME", NAME);
    plant(around.place.root(), &link, &around.outside().join(target))?;
    used(&mut session, &around, kind)?;
    around.is_untouched(&what)?;

    // Put the link there again, so that the next plugin finds it at its start.
    drop(session);
    plant(around.place.root(), &link, &around.outside().join(target))?;
    let mut session = Session::start(&subject.program, &around.place)?;
    subject.remember(session.log());
    around.is_untouched(&format!("{what}, and a start"))?;
    used(&mut session, &around, kind)?;
    around.is_untouched(&format!("{what}, a start, and calls again"))?;
    drop(session);
    Session::start(&subject.program, &around.place)?;
    around.is_untouched(&format!("{what}, and starts"))
}

/// Puts a link into ROOT, and removes what was there.
fn plant(root: &Root, link: &str, target: &Path) -> Outcome {
    let root = root.open()?;
    for (at, _) in link.match_indices('/') {
        let above = &link[..at];
        if !root.has_folder(above) {
            root.remove(above)?;
            root.make(above)?;
        }
    }
    root.remove(link)?;
    Ok(root.symlink(target, link)?)
}

/// Makes all calls. No answer to Mount may name a path out of ROOT.
fn used(session: &mut Session, around: &Around, kind: Pairs) -> Outcome {
    let root = fs::canonicalize(around.root())?;
    for call in calls(NAME, "id", kind) {
        let answer = session.ask(&call);
        if let Answer::Missing(why) = answer {
            return Err(wrong(call, "an answer", why));
        }
        let Answer::Success(value) = answer else { continue };
        let path = field(&value, "Mountpoint").and_then(|path| path.as_str());
        let path = path.and_then(|path| fs::canonicalize(path).ok());
        if let Some(path) = path
            && call.method == "VolumeDriver.Mount"
            && !path.starts_with(&root)
        {
            let got = path.display();
            return Err(wrong(call, "no path that leads out of ROOT", got));
        }
    }
    session.names().map(drop)
}

/// Entries of ROOT that are not volumes must not be listed, and must stay.
fn no_volumes(subject: &Subject) -> Result<String, Fault> {
    let around = Around::new(DIR)?;
    // `backup` is a valid name, and so is `fifo` below.
    let names = ["lost+found", ".Trash-0", "notes~", "ü", "a b", "backup"];
    let root = around.root();
    for name in names {
        fs::create_dir_all(root.join(name).join("files"))?;
    }
    fs::set_permissions(&root, Permissions::from_mode(0o700))?;
    // Older plugins had a file called .lock. Opening a FIFO may block for ever.
    tool(&[&"mkfifo", &root.join(".lock"), &root.join("fifo")])?;
    let mut session = Session::start(&subject.program, &around.place)?;
    subject.remember(session.log());
    let listed = session.names()?;
    if !listed.is_empty() {
        let got = format!("{listed:?}");
        return Err(wrong(Call::list(), "no volume", got));
    }
    for name in names {
        let call = Call::remove(name);
        session.must_fail(&call)?;
        if !root.join(name).join("files").is_dir() {
            return Err(wrong(call, "it stays", "it is gone"));
        }
    }
    for name in ["backup", "fifo"] {
        for call in calls(name, "id", DIR) {
            session.must_fail(&call)?;
        }
        if fs::symlink_metadata(root.join(name)).is_err() {
            let sent = format!("calls about {name}");
            return Err(wrong(sent, "it stays", "it is gone"));
        }
    }
    Ok(format!("{} folders and 2 FIFOs", names.len()))
}
