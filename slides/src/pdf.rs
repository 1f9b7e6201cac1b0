//! Prints the deck with a browser, one sheet per slide.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, bail, ensure};

use crate::serve;

/// Programs that are chromium, under its different names.
const BROWSERS: [&str; 5] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

/// A temporary folder, which is removed on drop.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes a new folder.
    pub fn new() -> Result<Self> {
        let base =
            env::temp_dir().join(format!("slides-{}", std::process::id()));
        let path = (0..1000)
            .map(|number| base.with_extension(number.to_string()))
            .find(|path| fs::create_dir(path).is_ok())
            .with_context(|| format!("making {}", base.display()))?;
        Ok(Self(path))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Best effort: a folder that stays is temporary.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The browser: what `CHROMIUM` names, or the first that this machine has.
pub fn browser() -> Result<PathBuf> {
    if let Some(named) = env::var_os("CHROMIUM") {
        let named = PathBuf::from(named);
        ensure!(
            named.is_file(),
            "CHROMIUM names {}, which is not a file",
            named.display()
        );
        return Ok(named);
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let found = BROWSERS.iter().find_map(|name| {
        env::split_paths(&path).map(|it| it.join(name)).find(|it| it.is_file())
    });
    found.context(
        "no chromium here: install it (apt-get install chromium), name it with \
         CHROMIUM=FILE, or print the page from any other browser",
    )
}

/// Prints the deck into `file`.
pub fn print(root: &Path, file: &Path) -> Result<()> {
    let browser = browser()?;
    let slides = serve::bind(root, 0, false)?;
    let page = format!("{}?page", slides.url());
    // This thread ends with the process.
    thread::spawn(move || slides.serve());
    let profile = Scratch::new()?;
    let root_user = fs::metadata(profile.path())?.uid() == 0;
    let mut command = Command::new(&browser);
    command.arg(format!("--user-data-dir={}", profile.path().display()));
    command.arg(format!("--print-to-pdf={}", file.display()));
    command.args([
        "--headless",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-pdf-header-footer",
        "--generate-pdf-document-outline",
        "--export-tagged-pdf",
        // In real time, chromium would print before the scripts are done.
        "--virtual-time-budget=10000",
    ]);
    // Chromium's sandbox refuses root, and in a container the user is root.
    command.args(root_user.then_some("--no-sandbox"));
    let output = command
        .arg(page)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("running {}", browser.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let written = fs::metadata(file).is_ok_and(|it| it.len() > 0);
    if !output.status.success() || !written {
        bail!("{} wrote no PDF:\n{said}", browser.display());
    }
    Ok(())
}
