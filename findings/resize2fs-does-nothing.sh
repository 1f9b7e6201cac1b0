#!/bin/sh
# resize2fs is asked for 8 MiB more, does nothing, and exits with status 0.
#
# Version    resize2fs and mke2fs 1.47.0 (Debian's e2fsprogs 1.47.0-2)
# Behaviour  ext4 is made of groups of blocks, here of 128 MiB, and each has an inode
#            table. resize2fs adds a last group only if the group holds its own tables
#            and 50 blocks besides. A filesystem of one group has all of its inodes in
#            that group, here 8 MiB of them, so every growth of less than some 8.3 MiB is
#            dropped: resize2fs says that there is nothing to do, and exits with
#            status 0. mke2fs has no such gap: it divides the blocks in another way.
# Seen       A filesystem of 128 MiB in a file of 136 MiB, resize2fs FILE 34816:
#            "already 32768 (4k) blocks long.  Nothing to do!", exit status 0,
#            32768 blocks. mke2fs on a file of 136 MiB: 34816 blocks.
#            resize2fs FILE 35328 on a file of 138 MiB: 35328 blocks.
# Remedy     After resize2fs, read the filesystem's size; the exit status does not say
#            that it is the requested one.
set -u

cannot() {
    echo "$0: this finding cannot be tried here: $*" >&2
    exit 2
}

# They read and write ordinary files here, so they do not need root.
PATH=$PATH:/usr/sbin:/sbin
export LC_ALL=C
for program in mke2fs resize2fs dumpe2fs; do
    command -v $program >/dev/null || cannot "there is no $program on PATH"
done
folder=$(mktemp -d) || cannot 'there is no temporary folder'
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' HUP INT TERM

# All numbers are blocks of 4 KiB.
SMALL=32768
LARGE=34816
LARGER=35328

# sparse FILE BLOCKS: makes a file of that size, or extends it.
sparse() {
    dd if=/dev/null of="$1" bs=4096 seek="$2" 2>/dev/null || cannot "$1 cannot be written"
}
make() {
    mke2fs -q -F -t ext4 -b 4096 -i 4096 "$1" >"$folder/words" 2>&1 ||
        cannot "mke2fs fails: $(cat "$folder/words")"
}
blocks() { dumpe2fs -h "$1" 2>/dev/null | sed -n 's/^Block count: *//p'; }

mke2fs -V 2>&1 | head -n 1
sparse "$folder/old" $SMALL
make "$folder/old"
before=$(blocks "$folder/old")
echo "mke2fs on a file of $SMALL blocks: $before blocks"
[ "$before" = $SMALL ] || cannot 'mke2fs makes another filesystem than it was asked for'

sparse "$folder/old" $LARGE
resize2fs "$folder/old" $LARGE >"$folder/words" 2>&1
status=$?
after=$(blocks "$folder/old")
echo "resize2fs to $LARGE blocks: exit status $status, $after blocks"
sed -n '2,$s/^\(.\)/    \1/p' "$folder/words" | sed "s#$folder/##"

sparse "$folder/new" $LARGE
make "$folder/new"
new=$(blocks "$folder/new")
echo "mke2fs on a file of $LARGE blocks: $new blocks"

sparse "$folder/old" $LARGER
resize2fs "$folder/old" $LARGER >"$folder/words" 2>&1
larger_status=$?
larger=$(blocks "$folder/old")
echo "resize2fs to $LARGER blocks: exit status $larger_status, $larger blocks"

if [ "$status $after $new $larger_status $larger" = "0 $SMALL $LARGE 0 $LARGER" ]; then
    echo 'The behaviour is as described.'
else
    echo 'The behaviour has changed.'
    exit 1
fi
