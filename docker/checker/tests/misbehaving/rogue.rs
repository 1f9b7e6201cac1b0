//! A plugin that takes every connection, and then misbehaves as its first argument
//! says: `rogue WORD SOCKET ROOT`. The tests compile it.

use std::fs::{self, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;
use std::{env, process};

fn main() {
    let words: Vec<_> = env::args().collect();
    let socket = Path::new(&words[2]);
    fs::create_dir_all(socket.parent().unwrap()).unwrap();
    let left_behind = fs::symlink_metadata(socket)
        .is_ok_and(|metadata| metadata.file_type().is_socket())
        && UnixStream::connect(socket)
            .is_err_and(|err| err.kind() == ErrorKind::ConnectionRefused);
    if left_behind {
        fs::remove_file(socket).unwrap();
    }
    let listener = UnixListener::bind(socket).unwrap();
    fs::set_permissions(socket, Permissions::from_mode(0o600)).unwrap();
    let mut held = Vec::new();
    for client in listener.incoming() {
        let mut client = client.unwrap();
        // The checker's first connection only tests whether the plugin listens.
        if let Ok(0) | Err(_) = client.read(&mut [0; 4096]) {
            continue;
        }
        match words[1].as_str() {
            "drops" => {}
            "hangs" => held.push(client),
            "panics" => panic!("of an unforeseen call"),
            "greets" => client.write_all(b"HELLO\r\n").unwrap(),
            "babbles" => {
                let _ = client.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
                while client.write_all(&[b'a'; 1 << 16]).is_ok() {}
            }
            "drips" => {
                let _ = client.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
                while client.write_all(b" ").is_ok() {
                    sleep(Duration::from_millis(50));
                }
            }
            "leaves" => {
                client
                    .write_all(
                        b"HTTP/1.1 200 OK\r\nContent-Length: 31\r\n\r\n\
                          {\"Implements\":[\"VolumeDriver\"]}",
                    )
                    .unwrap();
                process::exit(0);
            }
            other => panic!("no such word: {other}"),
        }
    }
}
