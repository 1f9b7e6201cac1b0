//! Parses a volume's options, and words the errors for invalid ones. You do not
//! need to read this file.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::protocol::{Failure, Options};
use crate::size;
use crate::text::excerpt;

/// A volume's options, with defaults for those that were not given.
pub struct Settings {
    /// The kind of storage.
    pub kind: Kind,
    /// The size of the filesystem in bytes. `None` for a tmpfs: half of the
    /// RAM, the kernel's default.
    pub size: Option<u64>,
    /// The mode of the directory that containers see.
    pub mode: u32,
    /// The owner of that directory. `None`: the user who runs this plugin.
    pub uid: Option<u32>,
    /// The group of that directory. `None`: the group that runs this plugin.
    pub gid: Option<u32>,
    /// Whether `docker volume rm` keeps the files.
    pub keep: bool,
}

/// The value of `-o type=`.
#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    /// A directory of the host's own filesystem.
    Dir,
    /// Memory: the files are gone after the last use.
    Tmpfs,
    /// A filesystem in a file, like Xfs and Btrfs.
    Ext4,
    Xfs,
    Btrfs,
}

impl Kind {
    const ALL: [Self; 5] =
        [Self::Dir, Self::Tmpfs, Self::Ext4, Self::Xfs, Self::Btrfs];

    /// The name that users, `mount` and `mkfs` use.
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

/// The requirements of a filesystem in a file.
pub struct Image {
    /// The smallest size in bytes. From this size on, files can fill at least
    /// 80 % of it: measured with e2fsprogs 1.47, xfsprogs 6.1 and 6.13, and
    /// btrfs-progs 6.2 and 6.14.
    least: u64,
    /// Options for its mkfs: no questions, and as few writes as possible,
    /// because the file takes up disk space only for written data.
    pub mkfs: &'static [&'static str],
}

/// The kernel initialises these parts later, when it needs them.
const LAZY: &str = "lazy_itable_init=1,lazy_journal_init=1,nodiscard";

/// The names of all options.
const OPTIONS: [&str; 6] = ["gid", "keep", "mode", "size", "type", "uid"];

/// YAML reads 0750 without quotes as a number, and Compose sends 488. Of all
/// modes that `validate` accepts, no such number is a valid mode.
const QUOTES: &str = "in a YAML file, write it in quotes, as in \"0750\"";

impl Settings {
    /// Reads the options of a Create. Each missing option has a default. A size
    /// without a type means `type=ext4`, since a directory has no size.
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
                        return Err(unknown_word(&known, "keep=", value));
                    }
                },
                _ => return Err(unknown_word(&OPTIONS, "", key)),
            }
        }
        if settings.size.is_some() && !options.contains_key("type") {
            settings.kind = Kind::Ext4;
        }
        Ok(settings)
    }

    /// How to make the filesystem in a file, if the type is one of these.
    pub fn image(&self) -> Option<Image> {
        let (least, mkfs): (_, &[_]) = match self.kind {
            Kind::Dir | Kind::Tmpfs => return None,
            // By default, a small ext4 has one inode per 4 KiB, and inodes take
            // a sixteenth of it. This is the default of a large ext4.
            Kind::Ext4 => {
                (8 << 20, &["-q", "-F", "-m", "0", "-i", "16384", "-E", LAZY])
            }
            // The log of an xfs alone takes 64 MiB.
            Kind::Xfs => (512 << 20, &["-q", "-K"]),
            // Below this size, data and metadata share their space; otherwise
            // the one could be full while the other is empty. By default btrfs
            // stores metadata twice, which helps only with two disks.
            Kind::Btrfs if self.size < Some(5 << 30) => {
                (40 << 20, &["-q", "-K", "--mixed"])
            }
            Kind::Btrfs => (40 << 20, &["-q", "-K", "--metadata", "single"]),
        };
        Some(Image { least, mkfs })
    }

    /// Rejects settings that no new volume may have, such as options that
    /// contradict each other. An earlier version accepted some of them, so
    /// `read` still does, for volumes that exist.
    pub fn validate(self) -> Result<Self, Failure> {
        if self.mode & 0o700 != 0o700 {
            let cure =
                format!("its owner could not use the directory; {QUOTES}");
            return Err(Failure::BadOption(
                format!("mode={:o}", self.mode),
                cure,
            ));
        }
        let name = self.kind.name();
        let least = self.image().map(|image| image.least);
        let conflict = match (self.size.map(size::format), least) {
            (None, Some(_)) => {
                format!("type={name} needs a size: add size=64m, for example")
            }
            (Some(size), Some(least)) if self.size < Some(least) => {
                let least = size::format(least);
                format!(
                    "size={size} is too small for type={name}: write {least} \
                     or more"
                )
            }
            (Some(size), _) if self.kind == Kind::Dir => format!(
                "type=dir takes no size={size}: write type=ext4, for example"
            ),
            _ if self.keep && self.kind == Kind::Tmpfs => {
                let why = "a tmpfs is empty again after its last use";
                format!("keep=true is not for type=tmpfs: {why}")
            }
            _ => return Ok(self),
        };
        Err(Failure::Conflict(conflict))
    }

    /// Every option in its canonical form, defaults included. Two volumes with
    /// the same settings have the same canonical options.
    pub fn canonical(&self) -> Options {
        let number = |id: Option<u32>| id.map(|id| id.to_string());
        [
            ("type", Some(self.kind.name().to_owned())),
            ("size", self.size.map(size::format)),
            ("mode", Some(format!("{:04o}", self.mode))),
            ("uid", number(self.uid)),
            ("gid", number(self.gid)),
            ("keep", Some(self.keep.to_string())),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)))
        .collect()
    }

    /// The options for `docker volume inspect`, but with the current mode and
    /// owner of `directory`, since Docker's copy-up and every container may
    /// change them. They are left out while the directory does not exist,
    /// because its filesystem is not mounted.
    pub fn status(&self, directory: &Path) -> Options {
        let mut status = self.canonical();
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

/// Parses the value of `type`.
fn kind(value: &str) -> Result<Kind, Failure> {
    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == value);
    kind.ok_or_else(|| unknown_word(&Kind::ALL.map(Kind::name), "type=", value))
}

/// Parses the value of `size`, in bytes.
fn size(value: &str) -> Result<u64, Failure> {
    size::parse(value).ok_or_else(|| {
        let cure = "write 64m, 1.5g or a number of bytes".to_owned();
        Failure::BadOption(format!("size={}", excerpt(value)), cure)
    })
}

/// Parses a user or group number. Names are not accepted, because each
/// container has its own.
fn id(key: &str, value: &str) -> Result<u32, Failure> {
    let digits = value.bytes().all(|byte| byte.is_ascii_digit());
    // 4294967295 means "do not change" to chown(2).
    let id = value.parse().ok().filter(|id| digits && *id != u32::MAX);
    id.ok_or_else(|| {
        let cure = format!("write a number, {} at most", u32::MAX - 1);
        Failure::BadOption(format!("{key}={}", excerpt(value)), cure)
    })
}

/// The bits of a mode in octal digits, as `chmod` takes them.
fn mode(value: &str) -> Result<u32, Failure> {
    let digits = value.bytes().all(|byte| byte.is_ascii_digit());
    let mode = u32::from_str_radix(value, 8).ok();
    mode.filter(|mode| digits && *mode <= 0o7777).ok_or_else(|| {
        let cure = format!("write octal digits, 7777 at most; {QUOTES}");
        Failure::BadOption(format!("mode={}", excerpt(value)), cure)
    })
}

/// The failure for a word that is not in `known`; suggests the nearest known
/// word.
fn unknown_word(known: &[&str], before: &str, word: &str) -> Failure {
    let cure = match nearest(word, known) {
        Some(near) => format!("did you mean {before}{near}?"),
        None => format!("write {before}{}", known.join(" or ")),
    };
    Failure::BadOption(format!("{before}{}", excerpt(word)), cure)
}

/// The nearest known word, if its edit distance is at most two.
fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    // `edit_distance` is exponential, so compare only eight characters.
    let word: String = word.to_lowercase().chars().take(8).collect();
    let away = |known: &&&str| edit_distance(word.as_bytes(), known.as_bytes());
    known.iter().filter(|known| away(known) <= 2).min_by_key(away).copied()
}

/// The number of letters that were added, left out, mistyped, or swapped with
/// the next one.
fn edit_distance(a: &[u8], b: &[u8]) -> usize {
    match (a, b) {
        ([], rest) | (rest, []) => rest.len(),
        ([x, a @ ..], [y, b @ ..]) if x == y => edit_distance(a, b),
        ([x, y, a @ ..], [z, w, b @ ..]) if (x, y) == (w, z) => {
            1 + edit_distance(a, b)
        }
        ([_, c @ ..], [_, d @ ..]) => {
            1 + edit_distance(c, d)
                .min(edit_distance(a, d))
                .min(edit_distance(c, b))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(typed: &str) -> Options {
        let pairs = typed.split(' ').filter_map(|pair| pair.split_once('='));
        pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
    }

    #[test]
    fn errors_say_what_was_meant() {
        for (typed, words) in [
            ("mdoe=", "no option mdoe: did you mean mode?"),
            ("MODE=", "no option MODE: did you mean mode?"),
            (
                "volume=1",
                "no option volume: write gid or keep or mode or size or type or uid",
            ),
            (
                "a\n=",
                r"no option a\n: write gid or keep or mode or size or type or uid",
            ),
            ("type=dri", "no option type=dri: did you mean type=dir?"),
            ("type=ext", "no option type=ext: did you mean type=ext4?"),
            (
                "type=fat32",
                "no option type=fat32: write type=dir or tmpfs or ext4 or xfs or btrfs",
            ),
            ("keep=yes", "no option keep=yes: write keep=true or false"),
            (
                "mode=rwx",
                "no option mode=rwx: write octal digits, 7777 at most; in a YAML file, \
                 write it in quotes, as in \"0750\"",
            ),
            (
                "mode=511",
                "no option mode=511: its owner could not use the directory; in a YAML \
                 file, write it in quotes, as in \"0750\"",
            ),
            (
                "size=1,5g",
                "no option size=1,5g: write 64m, 1.5g or a number of bytes",
            ),
            ("size=", "no option size=: write 64m, 1.5g or a number of bytes"),
            (
                "uid=root",
                "no option uid=root: write a number, 4294967294 at most",
            ),
            ("gid=+1", "no option gid=+1: write a number, 4294967294 at most"),
            (
                "size=64m type=dir",
                "type=dir takes no size=64m: write type=ext4, for example",
            ),
            ("type=ext4", "type=ext4 needs a size: add size=64m, for example"),
            (
                "size=1024k type=ext4",
                "size=1m is too small for type=ext4: write 8m or more",
            ),
            (
                "size=511m type=xfs",
                "size=511m is too small for type=xfs: write 512m or more",
            ),
            (
                "size=39m type=btrfs",
                "size=39m is too small for type=btrfs: write 40m or more",
            ),
            (
                "keep=true type=tmpfs",
                "keep=true is not for type=tmpfs: a tmpfs is empty again after \
                 its last use",
            ),
        ] {
            let settings = Settings::read(&options(typed));
            let failure = settings.and_then(Settings::validate).err();
            let said = failure.map(|failure| failure.to_string());
            assert_eq!(said.as_deref(), Some(words), "{typed}");
        }
    }

    #[test]
    fn a_mode_is_exact_or_refused() {
        let read = |value: String| {
            let options = Options::from([("mode".into(), value)]);
            let settings =
                Settings::read(&options).and_then(Settings::validate);
            settings.ok().map(|settings| settings.mode)
        };
        for mode in 0..=0o7777 {
            let good = mode & 0o700 == 0o700;
            assert_eq!(read(format!("{mode:04o}")), good.then_some(mode));
            // The number that Compose sends for this mode without quotes.
            assert!(!good || read(mode.to_string()).is_none(), "{mode:o}");
        }
        for value in ["", "+750", "-750", "0o750", "10750", "0750 "] {
            assert_eq!(read(value.to_owned()), None, "{value:?}");
        }
    }

    #[test]
    fn equal_settings_have_equal_canonical_options() {
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
            assert_eq!(settings.canonical(), options(spelled), "{typed}");
            let again = Settings::read(&settings.canonical());
            let again = again.ok().map(|settings| settings.canonical());
            assert_eq!(again, Some(settings.canonical()), "{spelled}");
        }
    }
}
