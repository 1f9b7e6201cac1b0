//! The files that lead Docker to this plugin. You do not need to read this
//! file.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process;

use anyhow::{Result, bail, ensure};
use log::{info, warn};
use serde_json::json;

use crate::store;
use crate::text::excerpt;
use crate::turn;

/// The files by which Docker finds this plugin. Dropping this removes them,
/// because Docker waits 15 seconds for each one whose plugin does not answer.
#[derive(Default)]
pub struct Advertised(Vec<AdvertisedFile>);

impl Advertised {
    /// Remembers a file that this process has made, and its text if Docker
    /// reads the file.
    pub fn add(&mut self, path: &Path, says: Option<String>) -> Result<()> {
        self.0.push(AdvertisedFile::of(path, says)?);
        Ok(())
    }
}

/// A file by which Docker finds this plugin.
struct AdvertisedFile {
    path: PathBuf,
    /// Device and inode. As long as this plugin listens, no other file has both
    /// this identity and this text.
    is: (u64, u64),
    says: Option<String>,
}

impl AdvertisedFile {
    fn of(path: &Path, says: Option<String>) -> io::Result<Self> {
        let is = identity(path)?;
        Ok(Self { path: path.to_owned(), is, says })
    }

    /// Removes the file, unless another plugin has replaced it.
    fn remove(&self) -> Result<()> {
        let Self { path, is, says } = self;
        let _turn = turn::take(path)?;
        ensure!(identity(path)? == *is, "another plugin has it now");
        if let Some(says) = says {
            let (now, _) = store::read(path)?;
            ensure!(now == says.as_bytes(), "another plugin has it now");
        }
        Ok(fs::remove_file(path)?)
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let is = fs::symlink_metadata(path)?;
    Ok((is.dev(), is.ino()))
}

impl Drop for Advertised {
    fn drop(&mut self) {
        for file in &self.0 {
            if let Err(err) = file.remove() {
                warn!("not removing {}: {err}", file.path.display());
            }
        }
    }
}

/// The address under which this machine reaches the plugin.
fn reachable_address(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// Writes the file that tells Docker the address, and returns its text.
pub fn publish(path: &Path, address: SocketAddr) -> Result<String> {
    let address = reachable_address(address);
    let text = match path.extension().and_then(OsStr::to_str) {
        Some("spec") => format!("tcp://{address}\n"),
        Some("json") => {
            json!({ "Addr": format!("http://{address}") }).to_string()
        }
        _ => bail!("Docker reads only files that end in .spec or .json"),
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let _turn = turn::take(path)?;
    match store::read(path)
        .map(|(had, _)| String::from_utf8_lossy(&had).into_owned())
    {
        Err(err) if err.kind() == ErrorKind::NotFound => {}
        Ok(had) if had == text || is_stale(&had) => {
            info!("replacing {}, which a killed plugin left", path.display());
        }
        Ok(had) => {
            bail!("it stays, because it is not ours: {}", excerpt(had.trim()))
        }
        Err(err) => bail!("it stays, because it is not ours: {err}"),
    }
    // Docker may read the file at any moment, and must find the whole text or
    // no file.
    let (mut file, aside) = create_beside(path)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&aside, path));
    if written.is_err() {
        let _ = fs::remove_file(&aside);
    }
    written?;
    Ok(text)
}

/// Creates a file beside `path` whose name begins with the name of `path`.
fn create_beside(path: &Path) -> io::Result<(File, PathBuf)> {
    let mut number = process::id();
    loop {
        let mut aside = path.as_os_str().to_owned();
        aside.push(format!(".{number}"));
        match File::create_new(&aside) {
            Err(err) if err.kind() == ErrorKind::AlreadyExists => number += 1,
            made => return Ok((made?, aside.into())),
        }
    }
}

/// Whether `publish` may have written this text for a plugin that no longer
/// runs.
fn is_stale(text: &str) -> bool {
    let spec =
        text.strip_prefix("tcp://").and_then(|spec| spec.strip_suffix('\n'));
    let json = text.strip_prefix("{\"Addr\":\"http://");
    let json = json.and_then(|json| json.strip_suffix("\"}"));
    let address =
        spec.or(json).and_then(|text| text.parse::<SocketAddr>().ok());
    address.is_some_and(|address| {
        address.ip().is_loopback() && TcpStream::connect(address).is_err()
    })
}
