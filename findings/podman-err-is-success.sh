#!/bin/sh
# Podman takes a plugin's refusal for a success when its status is 200.
#
# Version    podman 4.3.1 (Debian's 4.3.1+ds1-8+deb12u1), on Linux 6.18
# Behaviour  The volume plugin protocol reports a failure in the field "Err" of the
#            reply, and Docker takes 200 with a non-empty "Err" for a failure. Podman
#            looks at the status alone: it takes every 200 for a success, and reads
#            "Err" only if the status is another one.
# Seen       A plugin refuses Create with {"Err":"the disk is full"}.
#            Status 200: podman volume create exits 0, prints the volume's name, and
#                        podman volume exists exits 0.
#            Status 500: it exits 125, prints the disk is full, and
#                        podman volume exists exits 1.
# Remedy     A plugin must refuse with status 500 and "Err": both clients understand it.
#
# Needs root on Linux. Podman runs in namespaces of its own, without a network, and
# cannot write to the root filesystem.
set -u

cannot() {
    echo "$0: this finding cannot be tried here: $*" >&2
    exit 2
}

[ "$(uname)" = Linux ] || cannot 'Podman needs Linux'
[ "$(id -u)" = 0 ] || cannot 'a Podman in namespaces of its own needs root'
for program in podman unshare mount python3; do
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
/run/* | /var/run/* | /dev/shm/*) cannot 'TMPDIR is where Podman gets an empty folder' ;;
esac

cat >"$folder/inside.sh" <<'INSIDE'
set -eu
# The machine's own files, locks and containers stay as they are.
mount --bind "$1" "$1"
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /dev/shm
mount -o remount,bind,ro /
# The first process has to await the processes that it inherits: a shell does.
python3 "$1/try.py" "$1"
exit $?
INSIDE

cat >"$folder/try.py" <<'PYTHON'
"""Ends with status 0 if the finding is true, with 10 if it is not."""

import http.server
import json
import os
import socketserver
import subprocess
import sys
import threading

REASON = "the disk is full"
SOCKET = "/run/finding.sock"

# The statuses of the plugin's refusals that Podman has received.
refused = []


class Plugin(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # One write for head and body: Podman may hang up once it has read status 200.
    wbufsize = -1

    def do_POST(self):
        name = ""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if body.strip():
            name = json.loads(body).get("Name", "")
        status, answer = 200, {}
        if self.path == "/Plugin.Activate":
            answer = {"Implements": ["VolumeDriver"]}
        elif self.path == "/VolumeDriver.Create":
            # The volume's name says which status its refusal has.
            status, answer = int(name.removeprefix("status")), {"Err": REASON}
            refused.append(status)
        elif self.path == "/VolumeDriver.Get":
            status, answer = 500, {"Err": "there is no such volume"}
        elif self.path == "/VolumeDriver.List":
            answer = {"Volumes": []}
        reply = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *words):
        pass


def podman(*words):
    """The exit status of a command, and what it printed."""
    ended = subprocess.run(
        ["podman", *words],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
        text=True,
    )
    return ended.returncode, ended.stdout.strip()


def write(name, text):
    path = os.path.join(folder, name)
    with open(path, "w") as file:
        file.write(text)
    return path


folder = sys.argv[1]
environment = {
    **os.environ,
    "HOME": folder,
    "CONTAINERS_CONF": write("containers.conf", f"""
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
network_config_dir = "{folder}/networks"
static_dir = "{folder}/graph/libpod"
tmp_dir = "{folder}/tmp"
volume_path = "{folder}/graph/volumes"
[engine.volume_plugins]
finding = "{SOCKET}"
"""),
    "CONTAINERS_STORAGE_CONF": write("storage.conf", f"""
[storage]
driver = "vfs"
graphroot = "{folder}/graph"
runroot = "{folder}/run"
"""),
}
plugin = socketserver.ThreadingUnixStreamServer(SOCKET, Plugin)
plugin.daemon_threads = True
threading.Thread(target=plugin.serve_forever, daemon=True).start()

status, version = podman("--version")
if status:
    sys.exit(f"podman --version: {version}")
print(version, flush=True)
results = []
for status in (200, 500):
    name = f"status{status}"
    print(f"the plugin refuses Create with status {status} and Err: {REASON}")
    command = ["volume", "create", "--driver", "finding", name]
    created = podman(*command)
    known = podman("volume", "exists", name)[0] == 0
    print(f"  podman {' '.join(command)}: exit status {created[0]}, {created[1]}")
    print(f"  Podman {'has' if known else 'does not have'} the volume", flush=True)
    results.append((*created, known))
if refused != [200, 500]:
    sys.exit("Podman has not sent both calls to the plugin")
believed, failed = results
same = (
    believed == (0, "status200", True)
    and failed[0] != 0
    and REASON in failed[1]
    and not failed[2]
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
*) cannot 'Podman, or the namespaces for it, did not work (see above)' ;;
esac
