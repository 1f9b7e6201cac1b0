#!/bin/sh
# When a plugin drops a connection, dockerd repeats the call with an empty body.
#
# Version    dockerd 20.10.24 (Debian's docker.io 20.10.24+dfsg1), on Linux 6.18
# Behaviour  dockerd repeats a plugin call whose connection ended without a reply, after
#            1 second. The first attempt has consumed the buffer that holds the body,
#            so the second one has the same path and Content-Length: 0. The user sees
#            the answer to the second one.
# Seen       POST /VolumeDriver.Create, Content-Length 28, {"Name":"demo","Opts":null}
#            POST /VolumeDriver.Create, Content-Length 0, no body
#            and the user reads: create demo: the plugin received 0 bytes
# Remedy     A plugin must refuse an empty body. With defaults for what is missing, it
#            would create a volume without a name, and Docker would report success.
#
# Needs root on Linux. dockerd runs in namespaces of its own, without a network, and
# cannot write to the root filesystem.
set -u

cannot() {
    echo "$0: this finding cannot be tried here: $*" >&2
    exit 2
}

[ "$(uname)" = Linux ] || cannot 'dockerd needs Linux'
[ "$(id -u)" = 0 ] || cannot 'a dockerd in namespaces of its own needs root'
for program in dockerd unshare mount python3; do
    command -v "$program" >/dev/null || cannot "there is no $program on PATH"
done

child=
folder=$(mktemp -d) || cannot 'there is no temporary folder'
clean() {
    # With unshare, everything in the namespaces ends.
    [ -z "$child" ] || kill -KILL "$child" 2>/dev/null
    # A process that is ending may still write.
    for _ in 1 2 3 4 5; do
        rm -rf "$folder" 2>/dev/null && break
        sleep 1
    done
}
trap clean EXIT
trap 'exit 130' HUP INT TERM
case $folder in
/run/* | /var/run/*) cannot 'TMPDIR is below /run, which dockerd does not get to see' ;;
esac

cat >"$folder/inside.sh" <<'INSIDE'
set -eu
# The machine's own files stay as they are, and its daemons' sockets are out of reach.
mount --bind "$1" "$1"
mkdir "$1/etc"
cp /etc/passwd /etc/group "$1/etc"
mount --bind "$1/etc" /etc
mount -t tmpfs tmpfs /run
mount -o remount,bind,ro /
exec python3 "$1/try.py" "$1"
INSIDE

cat >"$folder/try.py" <<'PYTHON'
"""Ends with status 0 if the finding is true, with 10 if it is not."""

import http.client
import http.server
import json
import os
import socket
import socketserver
import subprocess
import sys
import threading
import time

CREATE = "/VolumeDriver.Create"
DOCKER = "/run/docker.sock"
PLUGINS = "/run/docker/plugins"

# The length that each Create declared, and its body.
received = []


class Plugin(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        length = self.headers.get("Content-Length")
        body = self.rfile.read(int(length or 0))
        if self.path == "/Plugin.Activate":
            answer = {"Implements": ["VolumeDriver"]}
        elif self.path == CREATE:
            received.append((length, body))
            if len(received) == 1:
                self.close_connection = True
                return
            answer = {"Err": f"the plugin received {len(body)} bytes"}
        elif self.path == "/VolumeDriver.Get":
            answer = {"Err": "there is no such volume"}
        else:
            answer = {}
        reply = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *words):
        pass


class Docker(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(DOCKER)


def ask(method, path, body=None):
    """The answer of dockerd's API: a status and what its JSON says."""
    connection = Docker("localhost", timeout=60)
    text = None if body is None else json.dumps(body)
    connection.request(method, path, text, {"Content-Type": "application/json"})
    reply = connection.getresponse()
    return reply.status, json.loads(reply.read())


def await_docker(dockerd):
    for _ in range(300):
        if dockerd.poll() is not None:
            break
        try:
            return ask("GET", "/version")[1]["Version"]
        except OSError:
            time.sleep(0.2)
    sys.exit("dockerd did not start:\n" + open(log).read()[-2000:])


folder = sys.argv[1]
log = os.path.join(folder, "dockerd.log")
os.makedirs(PLUGINS)
plugin = socketserver.ThreadingUnixStreamServer(PLUGINS + "/finding.sock", Plugin)
plugin.daemon_threads = True
threading.Thread(target=plugin.serve_forever, daemon=True).start()

config = os.path.join(folder, "daemon.json")
with open(config, "w") as file:
    file.write("{}")
command = ["dockerd", "--config-file", config, "--host", "unix://" + DOCKER]
command += ["--data-root", os.path.join(folder, "data"), "--exec-root", "/run/docker"]
command += ["--pidfile", "/run/docker.pid", "--storage-driver", "vfs"]
command += ["--bridge", "none", "--iptables=false", "--ip-forward=false"]
with open(log, "w") as file:
    dockerd = subprocess.Popen(command, stdout=file, stderr=file)
try:
    print("dockerd", await_docker(dockerd), flush=True)
    volume = {"Name": "demo", "Driver": "finding"}
    status, answer = ask("POST", "/volumes/create", volume)
finally:
    dockerd.terminate()
    dockerd.wait(20)

for length, body in received:
    print(f"POST {CREATE}, Content-Length {length},", body.decode().strip() or "no body")
message = answer.get("message", "")
print(f"dockerd answers its user with status {status}: {message}", flush=True)
same = (
    len(received) == 2
    and b'"demo"' in received[0][1]
    and received[1] == ("0", b"")
    and message.endswith("the plugin received 0 bytes")
)
sys.exit(0 if same else 10)
PYTHON

# A mount that the machine ends meanwhile ends in here, too.
unshare --mount --propagation slave --net --pid --uts --ipc --fork --kill-child \
    --mount-proc -- sh "$folder/inside.sh" "$folder" &
child=$!
wait "$child"
status=$?
child=
case $status in
0) echo 'The behaviour is as described.' ;;
10)
    echo 'The behaviour has changed.'
    exit 1
    ;;
*) cannot 'dockerd, or the namespaces for it, did not start (see above)' ;;
esac
