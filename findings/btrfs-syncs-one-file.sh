#!/bin/sh
# On btrfs, fsync keeps one file; on ext4 and xfs, it keeps the older ones as well.
#
# Version    Linux 6.18; mke2fs 1.47.0, mkfs.xfs 6.1.0, mkfs.btrfs 6.2 (Debian 12)
# Behaviour  ext4 and xfs have one journal for all changes of names: fsync of a file also
#            writes each change that came before. btrfs has a log for each fsync, with
#            that file alone. fsync(2) promises only the latter, and a program that was
#            tested on ext4 or xfs does not notice a missing fsync.
# Seen       Two files are made in one folder, the first without and the second with an
#            fsync. A copy of the disk at this moment is what a power cut leaves. In
#            the copy, ext4 has "first second", xfs "first second", btrfs "second".
# Remedy     Sync each file and each folder that must survive, whatever the tests on ext4
#            say, and test on btrfs as well.
#
# Needs root on Linux, and loop devices. The mounts are in a namespace of their own.
set -u

cannot() {
    echo "$0: this finding cannot be tried here: $*" >&2
    exit 2
}

PATH=$PATH:/usr/sbin:/sbin
export LC_ALL=C
# With the caller's CDPATH, cd could lead elsewhere.
unset CDPATH
[ "$(uname)" = Linux ] || cannot 'the filesystems are those of Linux'
[ "$(id -u)" = 0 ] || cannot 'only root may mount a filesystem'
for program in mkfs.ext4 mkfs.xfs mkfs.btrfs mount unshare python3; do
    command -v $program >/dev/null || cannot "there is no $program on PATH"
done
# All that the script mounts ends with its namespace, and so do the loop devices.
if [ -z "${IN_OWN_NAMESPACE:-}" ]; then
    IN_OWN_NAMESPACE=1 exec unshare --mount --propagation private sh "$0"
fi

folder=$(mktemp -d) || cannot 'there is no temporary folder'
clean() {
    umount "$folder/disk" 2>/dev/null
    umount "$folder/copy" 2>/dev/null
    rm -rf --one-file-system "$folder"
}
trap clean EXIT
trap 'exit 130' HUP INT TERM
mkdir "$folder/disk" "$folder/copy"

# try FILESYSTEM: prints which files a power cut leaves.
try() {
    image=$folder/$1
    truncate -s 320M "$image" || cannot "$image cannot be written"
    "mkfs.$1" -q "$image" >"$folder/words" 2>&1 ||
        cannot "mkfs.$1 fails: $(cat "$folder/words")"
    # No periodic commit comes in between.
    options=loop
    [ "$1" = xfs ] || options=loop,commit=300
    mount -t "$1" -o "$options" "$image" "$folder/disk" || cannot "no $1 can be mounted"
    mkdir "$folder/disk/d"
    sync -f "$folder/disk/d"
    python3 - "$folder/disk/d" <<'PYTHON' || cannot 'the files cannot be made'
import os
import sys

for name in ("first", "second"):
    path = os.path.join(sys.argv[1], name)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    os.write(file, name.encode())
    if name == "second":
        os.fsync(file)
    os.close(file)
PYTHON
    # What the loop device has written so far.
    cp --sparse=always "$image" "$image.copy" || cannot 'the copy cannot be written'
    umount "$folder/disk"
    # xfs and btrfs mount no second filesystem with the same UUID, so the first one is
    # unmounted before.
    mount -t "$1" -o loop "$image.copy" "$folder/copy" || cannot "the copy of $1 is broken"
    # The shell sorts the names.
    left=$(cd "$folder/copy/d" && echo *)
    umount "$folder/copy"
    rm -f "$image" "$image.copy"
    echo "$1: $left"
}

uname -sr
mkfs.ext4 -V 2>&1 | head -n 1
mkfs.xfs -V
mkfs.btrfs --version
seen=$(try ext4 && try xfs && try btrfs) || exit 2
echo "$seen"
if [ "$seen" = "ext4: first second
xfs: first second
btrfs: second" ]; then
    echo 'The behaviour is as described.'
else
    echo 'The behaviour has changed.'
    exit 1
fi
