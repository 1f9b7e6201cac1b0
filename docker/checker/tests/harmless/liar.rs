//! A plugin whose paths lead out of ROOT: `liar HOW OUTSIDE SOLUTION SOCKET ROOT`.
//! SOLUTION answers the calls, and this program puts other paths into the answers.
//! The tests compile it.

use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;
use std::{env, fs, thread};

const MARK: &str = "\"Mountpoint\":\"";

struct Liar {
    how: String,
    outside: String,
    root: PathBuf,
    inner: PathBuf,
    /// The directory that becomes a link at the next call.
    named: Mutex<Option<PathBuf>>,
}

fn main() {
    let words: Vec<_> = env::args().skip(1).collect();
    let [how, outside, solution, socket, root] = &words[..] else {
        panic!("HOW OUTSIDE SOLUTION SOCKET ROOT");
    };
    let socket = Path::new(socket);
    fs::create_dir_all(socket.parent().unwrap()).unwrap();
    let inner = socket.with_file_name("inner.sock");
    let mut real = PathBuf::from(root);
    if how == "root-is-a-link" {
        real.set_file_name("real");
        if !Path::new(root).is_symlink() {
            symlink(outside, root).unwrap();
        }
    }
    Command::new(solution).args([&inner, &real]).spawn().unwrap();
    while UnixStream::connect(&inner).is_err() {
        thread::sleep(Duration::from_millis(2));
    }
    let liar: &'static Liar = Box::leak(Box::new(Liar {
        how: how.clone(),
        outside: outside.clone(),
        root: root.into(),
        inner,
        named: Mutex::new(None),
    }));
    // A killed plugin may have left its socket.
    let _ = fs::remove_file(socket);
    for client in UnixListener::bind(socket).unwrap().incoming() {
        let client = client.unwrap();
        thread::spawn(move || liar.serve(client));
    }
}

impl Liar {
    fn serve(&self, mut client: UnixStream) {
        let mut plugin = UnixStream::connect(&self.inner).unwrap();
        while let Some(request) = message(&mut client) {
            if let Some(directory) = self.named.lock().unwrap().take() {
                let away = directory.with_extension("away");
                let _ = fs::rename(&directory, away);
                let _ = symlink(&self.outside, &directory);
            }
            plugin.write_all(&request).unwrap();
            let Some(reply) = message(&mut plugin) else { return };
            let text = String::from_utf8_lossy(&reply);
            let is_mount = request.starts_with(b"POST /VolumeDriver.Mount ");
            let reply = self.changed(&text, is_mount);
            if client.write_all(reply.as_bytes()).is_err() {
                return;
            }
        }
    }

    /// The reply with other paths.
    fn changed(&self, reply: &str, is_mount: bool) -> String {
        let (head, body) = reply.split_once("\r\n\r\n").unwrap();
        let mut parts = body.split(MARK);
        let mut changed = parts.next().unwrap().to_owned();
        for part in parts {
            let (path, rest) = part.split_once('"').unwrap();
            let path = self.instead_of(path, is_mount);
            changed += &format!("{MARK}{path}\"{rest}");
        }
        let head = head.lines().filter(|line| {
            !line.to_ascii_lowercase().starts_with("content-length:")
        });
        let head: Vec<_> = head.collect();
        let length = changed.len();
        let head = head.join("\r\n");
        format!("{head}\r\nContent-Length: {length}\r\n\r\n{changed}")
    }

    fn instead_of(&self, path: &str, is_mount: bool) -> String {
        match self.how.as_str() {
            "outside" | "home" => self.outside.clone(),
            // Only for one volume, so that a checker that uses this path does little
            // harm.
            "slash" if path.ends_with("/grove-264") => "/".to_owned(),
            "link" => {
                let link = self.root.join("leads-out");
                let _ = symlink(&self.outside, &link);
                link.display().to_string()
            }
            "becomes-a-link" if is_mount => {
                *self.named.lock().unwrap() = Some(path.into());
                path.to_owned()
            }
            "root-is-a-link" => path.replace("/real/", "/volumes/"),
            _ => path.to_owned(),
        }
    }
}

/// Reads a head, and a body of the length that the head declares.
fn message(from: &mut UnixStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut some = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                line.strip_prefix("content-length:")?.trim().parse().ok()
            });
            let length: usize = length.unwrap_or(0);
            if bytes.len() >= head.len() + 4 + length {
                return Some(bytes);
            }
        }
        match from.read(&mut some) {
            Ok(count @ 1..) => bytes.extend(&some[..count]),
            _ => return None,
        }
    }
}
