#!/bin/sh
# After a late answer to Unmount, Podman takes an unmounted volume for mounted.
#
# Version    podman 4.3.1 (Debian's 4.3.1+ds1-8+deb12u1), on Linux 6.18
# Behaviour  Podman waits 5 seconds for a volume plugin. If the answer to Unmount comes
#            later, the command fails, and Podman keeps its count of uses, although the
#            plugin has unmounted the volume. The next use succeeds without a Mount.
# Seen       podman volume mount v:    the plugin gets Mount, exit status 0
#            podman volume unmount v:  the plugin takes 6 s for Unmount; exit status 125
#                                      after 5 s, "context deadline exceeded"
#            podman volume mount v:    the plugin gets nothing, exit status 0
#            podman volume unmount v, twice, then podman volume mount v: the plugin gets
#                                      Unmount and Mount again
# Remedy     A plugin must answer Unmount within 5 seconds, and go on with slow work
#            afterwards. A path that is not mounted must take no files: a container that
#            starts now would write them to the disk of the host.
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
import time

SOCKET = "/run/finding.sock"
# In seconds. Podman waits for 5.
LATE = 6

# The calls about uses that the plugin has received.
calls = []
# Set when the late answer is on its way.
answered = threading.Event()


class Plugin(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        call = self.path.rpartition(".")[2]
        volume = {"Name": "v", "Mountpoint": folder}
        answer = {
            "/Plugin.Activate": {"Implements": ["VolumeDriver"]},
            "/VolumeDriver.Get": {"Volume": volume},
            "/VolumeDriver.List": {"Volumes": [volume]},
            "/VolumeDriver.Mount": {"Mountpoint": folder},
        }.get(self.path, {})
        if call in ("Mount", "Unmount"):
            calls.append(call)
            if calls.count("Unmount") == 1 and call == "Unmount":
                time.sleep(LATE)
                answered.set()
        reply = json.dumps(answer).encode()
        try:
            self.send_response(200)
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)
        except BrokenPipeError:
            # Podman has given up.
            pass

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
created = podman("volume", "create", "--driver", "finding", "v")
if created[0]:
    sys.exit(f"podman volume create: {created[1]}")


def use(word):
    """The exit status of mount or unmount, and the calls that the plugin got."""
    before = len(calls)
    status, output = podman("volume", word, "v")
    got = calls[before:]
    print(f"podman volume {word} v: exit status {status}, {output}")
    print(f"  the plugin gets {' '.join(got) or 'nothing'}", flush=True)
    return status == 0, got


mounted = use("mount")
late = use("unmount")
if not answered.wait(2 * LATE):
    sys.exit("the plugin has not received Unmount")
believed = use("mount")
ended = [use("unmount"), use("unmount")]
again = use("mount")
if mounted != (True, ["Mount"]):
    sys.exit("Podman has not sent Mount")
same = (
    late == (False, ["Unmount"])
    and believed == (True, [])
    and [call for _, got in ended for call in got] == ["Unmount"]
    and again == (True, ["Mount"])
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
