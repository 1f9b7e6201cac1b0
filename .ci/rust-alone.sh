#!/usr/bin/env bash
# Tests that `make test` needs only Rust: a user who is not root runs it with the
# programs that every Debian has, with make, a linker, and Rust.
#
# Root starts the script, which becomes a user without a name. The run has its own
# checkout, HOME, CARGO_HOME and /tmp, which are removed afterwards. Crates come from
# root's CARGO_HOME, so that they are not downloaded again.
# `.ci/rust-alone.sh COMMAND…` runs another command in this way.
set -euo pipefail
# With the caller's CDPATH, cd could lead into another checkout.
unset CDPATH
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- make test

user=64321
folder=$(mktemp -d /var/tmp/workshop-alone.XXXXXX)
trap 'rm -rf "$folder"' EXIT
# The user needs access to the folders in it.
chmod 755 "$folder"
mkdir "$folder"/{bin,cargo,checkout,home,rust,tmp}

packages=(make gcc binutils)
while read -r essential package; do
    [ "$essential" != yes ] || packages+=("$package")
done < <(dpkg-query --show --showformat '${Essential} ${Package}\n')
while read -r program; do
    ln -sf "$program" "$folder/bin/"
done < <(dpkg-query --listfiles "${packages[@]}" |
    grep -E '^(/usr)?/bin/[^/]+$')
# Links that no package lists.
ln -sf "$(command -v cc)" "$(command -v sh)" "$folder/bin/"

# All files and processes of the user. An earlier run that was killed may have left
# some.
of_user() {
    find /tmp /var/tmp /var/lib /dev/shm /run -xdev -user "$user" \
        -not -path "$folder/*" 2>/dev/null || true
    find /proc -maxdepth 1 -user "$user" -name '[0-9]*' 2>/dev/null || true
}
before=$(of_user)

cargo fetch --locked --quiet
cp -r "${CARGO_HOME:-$HOME/.cargo}/registry" "$folder/cargo/"
tar -c --exclude=./target --exclude=node_modules --exclude=./.git . |
    tar -x -C "$folder/checkout"
chown -R "$user:$user" "$folder"/{cargo,checkout,home,tmp}

status=0
# The mounts are in a mount namespace, so other programs do not see them.
unshare --mount bash -euo pipefail -s -- \
    "$folder" "$user" "$(rustc --print sysroot)" "$@" <<'INSIDE' || status=$?
folder=$1 user=$2 rust=$3
shift 3
# The user may not enter root's home, which may have the toolchain.
mount --bind "$rust" "$folder/rust"
mount --bind "$folder/tmp" /tmp
PATH=$folder/rust/bin:$folder/bin
for program in docker podman npm node strace chromium go git mkfs.ext4; do
    if command -v "$program"; then
        echo "FAIL: the user has $program" >&2
        exit 2
    fi
done
# Unusual settings, which some users have and on which no report may depend.
install -d -o "$user" "/tmp/a folder"
umask 027
cd "$folder/checkout"
status=0
time setpriv --reuid "$user" --regid "$user" --clear-groups \
    env -i PATH="$PATH" HOME="$folder/home" CARGO_HOME="$folder/cargo" \
    CARGO_NET_OFFLINE=true TMPDIR="/tmp/a folder" LANG=tr_TR.UTF-8 \
    CLICOLOR_FORCE=1 COLUMNS=33 \
    "$@" </dev/null 7</dev/null 8>/dev/null 9</dev/null || status=$?
# If the folder has files, it stays, and is listed below.
rmdir "/tmp/a folder" || true
exit "$status"
INSIDE

left=$(
    find "$folder/home" "$folder/tmp" -mindepth 1
    comm -13 <(sort <<<"$before") <(of_user | sort)
)
if [ -n "$left" ]; then
    echo "FAIL: these files and processes of the user are left:"
    echo "$left"
    status=1
fi
exit "$status"
