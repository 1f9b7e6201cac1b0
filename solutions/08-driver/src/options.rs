//! What a volume's options mean, and what to say where they mean nothing.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::protocol::{Failure, Options};
use crate::size;
use crate::text::shown;

/// What all of a volume's options come to.
pub struct Settings {
    /// What holds the files.
    pub kind: Kind,
    /// Of the filesystem, in bytes. None for a tmpfs is half of the memory.
    pub size: Option<u64>,
    /// Of the directory that containers see.
    pub mode: u32,
    /// Its owner, unless that is who runs this plugin.
    pub uid: Option<u32>,
    /// Its group, in the same way.
    pub gid: Option<u32>,
    /// Whether `docker volume rm` leaves the files where they are.
    pub keep: bool,
}

/// What `-o type=` says.
#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    /// A directory of the host's own filesystem.
    Dir,
    /// Memory: the files are gone once nobody uses them.
    Tmpfs,
    /// A filesystem in a file, as the two below.
    Ext4,
    Xfs,
    Btrfs,
}

impl Kind {
    const ALL: [Self; 5] =
        [Self::Dir, Self::Tmpfs, Self::Ext4, Self::Xfs, Self::Btrfs];

    /// As a user types it, and as `mount` and `mkfs` have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dir => "dir",
            Self::Tmpfs => "tmpfs",
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
        }
    }
}

/// What a filesystem in a file asks for.
pub struct Image {
    /// Its size in bytes, at least. From there on, files fill at least 80 % of
    /// any size: measured with e2fsprogs 1.47, xfsprogs 6.1 and 6.13, and
    /// btrfs-progs 6.2 and 6.14.
    least: u64,
    /// Options for its mkfs: ask nobody, and write no more than it must, as the
    /// file takes room for what is written only.
    pub mkfs: &'static [&'static str],
}

/// What the kernel writes later, if ever.
const LAZY: &str = "lazy_itable_init=1,lazy_journal_init=1,nodiscard";

/// The options that there are.
const OPTIONS: [&str; 6] = ["gid", "keep", "mode", "size", "type", "uid"];

/// Why a mode may arrive as another number: YAML reads 0750 without quotes as
/// 488. All modes that `agree` accepts are refused when they arrive like this.
const QUOTES: &str = "in a YAML file, write it in quotes, as in \"0750\"";

impl Settings {
    /// Reads the options of a Create; each that is not there has a default. A
    /// size alone means `type=ext4`, since a directory has none.
    pub fn read(options: &Options) -> Result<Self, Failure> {
        let mut settings = Self {
            kind: Kind::Dir,
            size: None,
            mode: 0o755,
            uid: None,
            gid: None,
            keep: false,
        };
        for (key, value) in options {
            match key.as_str() {
                "mode" => settings.mode = mode(value)?,
                "type" => settings.kind = kind(value)?,
                "size" => settings.size = Some(size(value)?),
                "uid" => settings.uid = Some(id("uid", value)?),
                "gid" => settings.gid = Some(id("gid", value)?),
                "keep" => match value.as_str() {
                    "true" => settings.keep = true,
                    "false" => settings.keep = false,
                    _ => {
                        let known = ["true", "false"];
                        return Err(none_of(&known, "keep=", value));
                    }
                },
                _ => return Err(none_of(&OPTIONS, "", key)),
            }
        }
        if settings.size.is_some() && !options.contains_key("type") {
            settings.kind = Kind::Ext4;
        }
        Ok(settings)
    }

    /// How the filesystem in a file is made, if these are the options of one.
    pub fn image(&self) -> Option<Image> {
        let (least, mkfs): (_, &[_]) = match self.kind {
            Kind::Dir | Kind::Tmpfs => return None,
            // By default a small one has an inode for each 4 KiB, and they take a
            // sixteenth of it. A large one has them as here.
            Kind::Ext4 => {
                (8 << 20, &["-q", "-F", "-m", "0", "-i", "16384", "-E", LAZY])
            }
            // Its log alone has 64 MiB.
            Kind::Xfs => (512 << 20, &["-q", "-K"]),
            // Up to this size, data and metadata share their room, or the one
            // would be full while the other is empty. By default metadata is
            // there twice, which helps on two disks.
            Kind::Btrfs if self.size < Some(5 << 30) => {
                (40 << 20, &["-q", "-K", "--mixed"])
            }
            Kind::Btrfs => (40 << 20, &["-q", "-K", "--metadata", "single"]),
        };
        Some(Image { least, mkfs })
    }

    /// Refuses what no new volume may have, such as options that contradict each
    /// other. A volume that exists may have it from an earlier version, so `read`
    /// does not look.
    pub fn agree(self) -> Result<Self, Failure> {
        let name = self.kind.name();
        let refuse = |option, cure| Err(Failure::BadOption(option, cure));
        let least = self.image().map(|it| it.least);
        match (self.size.map(size::spell), least) {
            _ if self.mode & 0o700 != 0o700 => refuse(
                format!("mode={:o}", self.mode),
                format!("its owner could not use the directory; {QUOTES}"),
            ),
            (None, Some(_)) => refuse(
                format!("type={name} without a size"),
                "add size=64m, or another".to_owned(),
            ),
            (Some(size), Some(least)) if self.size < Some(least) => refuse(
                format!("size={size} for type={name}"),
                format!("write {} at least", size::spell(least)),
            ),
            (Some(size), _) if self.kind == Kind::Dir => refuse(
                format!("size={size} for type=dir"),
                "write type=ext4, say".to_owned(),
            ),
            _ if self.keep && self.kind == Kind::Tmpfs => refuse(
                "keep=true for type=tmpfs".to_owned(),
                "its files end with their last use".to_owned(),
            ),
            _ => Ok(self),
        }
    }

    /// Every option as a user could have typed it, defaults included. So two
    /// volumes that mean the same are spelled the same.
    pub fn spelled(&self) -> Options {
        let number = |it: Option<u32>| it.map(|it| it.to_string());
        [
            ("type", Some(self.kind.name().to_owned())),
            ("size", self.size.map(size::spell)),
            ("mode", Some(format!("{:04o}", self.mode))),
            ("uid", number(self.uid)),
            ("gid", number(self.gid)),
            ("keep", Some(self.keep.to_string())),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)))
        .collect()
    }

    /// What `docker volume inspect` shows: the options, but mode and owner as
    /// `directory` has them now, since Docker's copy-up and every container may
    /// change them. Without such a directory they are left out: it is not there
    /// while its filesystem is not mounted.
    pub fn status(&self, directory: &Path) -> Options {
        let mut status = self.spelled();
        status.retain(|key, _| !["mode", "uid", "gid"].contains(&&**key));
        let Ok(has) = fs::symlink_metadata(directory) else { return status };
        let mode = format!("{:04o}", has.mode() & 0o7777);
        status.extend([
            ("mode".to_owned(), mode),
            ("uid".to_owned(), has.uid().to_string()),
            ("gid".to_owned(), has.gid().to_string()),
        ]);
        status
    }
}

/// What a type's name stands for.
fn kind(value: &str) -> Result<Kind, Failure> {
    let kind = Kind::ALL.into_iter().find(|it| it.name() == value);
    kind.ok_or_else(|| none_of(&Kind::ALL.map(Kind::name), "type=", value))
}

/// The bytes of a size.
fn size(value: &str) -> Result<u64, Failure> {
    size::parse(value).ok_or_else(|| {
        let cure = "write 64m, 1.5g or a number of bytes".to_owned();
        Failure::BadOption(format!("size={}", shown(value)), cure)
    })
}

/// The number of a user or a group: their names differ in each container.
fn id(key: &str, value: &str) -> Result<u32, Failure> {
    let digits = value.bytes().all(|it| it.is_ascii_digit());
    // The largest number stands for nobody's in particular.
    let id = value.parse().ok().filter(|it| digits && *it != u32::MAX);
    id.ok_or_else(|| {
        let cure = format!("write a number, {} at most", u32::MAX - 1);
        Failure::BadOption(format!("{key}={}", shown(value)), cure)
    })
}

/// The bits of a mode in octal digits, as `chmod` takes them.
fn mode(value: &str) -> Result<u32, Failure> {
    let digits = value.bytes().all(|byte| byte.is_ascii_digit());
    let mode = u32::from_str_radix(value, 8).ok();
    mode.filter(|mode| digits && *mode <= 0o7777).ok_or_else(|| {
        let cure = format!("write octal digits, 7777 at most; {QUOTES}");
        Failure::BadOption(format!("mode={}", shown(value)), cure)
    })
}

/// Refuses a word that is none of `known`, and says which one was meant.
fn none_of(known: &[&str], before: &str, word: &str) -> Failure {
    let cure = match nearest(word, known) {
        Some(near) => format!("did you mean {before}{near}?"),
        None => format!("there is {before}{}", known.join(" or ")),
    };
    Failure::BadOption(format!("{before}{}", shown(word)), cure)
}

/// The word that is at most two mistakes away, if there is one.
fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    // Whoever sends a long one shall not make us count for long.
    let word: String = word.to_lowercase().chars().take(8).collect();
    let away = |it: &&&str| mistakes(word.as_bytes(), it.as_bytes());
    known.iter().filter(|it| away(it) <= 2).min_by_key(away).copied()
}

/// How many letters were added, left out, mistaken or swapped with the next.
fn mistakes(a: &[u8], b: &[u8]) -> usize {
    match (a, b) {
        ([], rest) | (rest, []) => rest.len(),
        ([x, a @ ..], [y, b @ ..]) if x == y => mistakes(a, b),
        ([x, y, a @ ..], [z, w, b @ ..]) if (x, y) == (w, z) => {
            1 + mistakes(a, b)
        }
        ([_, c @ ..], [_, d @ ..]) => {
            1 + mistakes(c, d).min(mistakes(a, d)).min(mistakes(c, b))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(typed: &str) -> Options {
        let pairs = typed.split(' ').filter_map(|it| it.split_once('='));
        pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
    }

    #[test]
    fn errors_say_what_was_meant() {
        for (typed, words) in [
            ("mdoe=", "mdoe: did you mean mode?"),
            ("MODE=", "MODE: did you mean mode?"),
            (
                "volume=1",
                "volume: there is gid or keep or mode or size or type or uid",
            ),
            (
                "a\n=",
                r"a\n: there is gid or keep or mode or size or type or uid",
            ),
            ("type=dri", "type=dri: did you mean type=dir?"),
            ("type=ext", "type=ext: did you mean type=ext4?"),
            (
                "type=fat32",
                "type=fat32: there is type=dir or tmpfs or ext4 or xfs or btrfs",
            ),
            ("keep=yes", "keep=yes: there is keep=true or false"),
            (
                "mode=rwx",
                "mode=rwx: write octal digits, 7777 at most; in a YAML file, \
                 write it in quotes, as in \"0750\"",
            ),
            (
                "mode=511",
                "mode=511: its owner could not use the directory; in a YAML \
                 file, write it in quotes, as in \"0750\"",
            ),
            ("size=1,5g", "size=1,5g: write 64m, 1.5g or a number of bytes"),
            ("size=", "size=: write 64m, 1.5g or a number of bytes"),
            ("uid=root", "uid=root: write a number, 4294967294 at most"),
            ("gid=+1", "gid=+1: write a number, 4294967294 at most"),
            (
                "size=64m type=dir",
                "size=64m for type=dir: write type=ext4, say",
            ),
            ("type=ext4", "type=ext4 without a size: add size=64m, or another"),
            (
                "size=1024k type=ext4",
                "size=1m for type=ext4: write 8m at least",
            ),
            (
                "size=511m type=xfs",
                "size=511m for type=xfs: write 512m at least",
            ),
            (
                "size=39m type=btrfs",
                "size=39m for type=btrfs: write 40m at least",
            ),
            (
                "keep=true type=tmpfs",
                "keep=true for type=tmpfs: its files end with their last use",
            ),
        ] {
            let settings = Settings::read(&options(typed));
            let failure = settings.and_then(Settings::agree).err();
            let said = failure.map(|it| it.to_string());
            let words = format!("no option {words}");
            assert_eq!(said.as_deref(), Some(&*words), "{typed}");
        }
    }

    #[test]
    fn a_mode_is_exact_or_refused() {
        let read = |value: String| {
            let options = Options::from([("mode".into(), value)]);
            let settings = Settings::read(&options).and_then(Settings::agree);
            settings.ok().map(|settings| settings.mode)
        };
        for mode in 0..=0o7777 {
            let good = mode & 0o700 == 0o700;
            assert_eq!(read(format!("{mode:04o}")), good.then_some(mode));
            // What Compose sends for it without quotes.
            assert!(!good || read(mode.to_string()).is_none(), "{mode:o}");
        }
        for value in ["", "+750", "-750", "0o750", "10750", "0750 "] {
            assert_eq!(read(value.to_owned()), None, "{value:?}");
        }
    }

    #[test]
    fn what_means_the_same_is_spelled_the_same() {
        for (typed, spelled) in [
            ("", "keep=false mode=0755 type=dir"),
            ("mode=1777 uid=007", "keep=false mode=1777 type=dir uid=7"),
            (
                "size=65536K type=ext4 gid=0",
                "gid=0 keep=false mode=0755 size=64m type=ext4",
            ),
            ("size=0.5g", "keep=false mode=0755 size=512m type=ext4"),
            ("type=tmpfs", "keep=false mode=0755 type=tmpfs"),
            ("type=tmpfs size=1GiB", "keep=false mode=0755 size=1g type=tmpfs"),
        ] {
            let settings = Settings::read(&options(typed));
            let Ok(settings) = settings else { panic!("{typed}") };
            assert_eq!(settings.spelled(), options(spelled), "{typed}");
            let again = Settings::read(&settings.spelled());
            let again = again.ok().map(|it| it.spelled());
            assert_eq!(again, Some(settings.spelled()), "{spelled}");
        }
    }
}
