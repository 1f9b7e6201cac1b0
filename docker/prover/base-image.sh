#!/bin/sh
# Makes a replacement for the rust image on machines that reach no image registry.
#
# usage: docker/prover/base-image.sh TAG
#
# It has the same Debian and the same packages, and this machine's toolchain instead
# of rustup's. It also has this machine's settings for package registries, so that
# builds inside of it reach them. The script needs root, debootstrap, a Rust
# toolchain and a dockerd; DOCKER names another client than `docker`.
set -eu
# With the caller's CDPATH, cd could lead elsewhere.
unset CDPATH

SUITE=trixie
# The packages that the slim variant of the rust image adds to Debian.
PACKAGES=gcc,libc6-dev,ca-certificates

tag=${1:?usage: $0 TAG}
docker=${DOCKER:-docker}

say() { echo "$0: $*" >&2; }

missing=
for program in debootstrap rustc "$docker"; do
    command -v "$program" >/dev/null || missing="$missing $program"
done
[ -z "$missing" ] || { say "install first:$missing"; exit 1; }
[ "$(id -u)" = 0 ] || { say 'debootstrap makes device files: run this as root'; exit 1; }
"$docker" version >/dev/null || { say 'start a dockerd first'; exit 1; }

content="$SUITE $(rustc --version)"
label() { "$docker" image inspect --format '{{index .Config.Labels "workshop.base"}}' "$tag"; }
if [ "$(label 2>/dev/null)" = "$content" ]; then
    say "$tag exists already: $content"
    exit
fi

stage=$(mktemp -d)
# An interrupted debootstrap leaves /proc and /sys mounted, so never delete files of
# another filesystem.
clean() {
    umount "$stage/proc" "$stage/sys" 2>/dev/null || :
    rm -rf --one-file-system "$stage"
}
trap clean EXIT
trap 'exit 1' HUP INT TERM

# This machine's mirror, if it is a Debian with a mirror of its own.
# shellcheck disable=SC2016 # apt's variable, not ours
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Origin: Debian' 2>/dev/null |
    grep -v security | head -n 1) || :
say "Debian $SUITE (half a minute)"
debootstrap --variant=minbase --include="$PACKAGES" "$SUITE" "$stage" \
    ${mirror:+"$mirror"} >"$stage.log" 2>&1 ||
    { tail -n 20 "$stage.log" >&2; mv "$stage.log" debootstrap.log; exit 1; }
rm -rf "$stage.log" "$stage"/var/cache/apt/archives/*.deb "$stage"/var/lib/apt/lists/*

# As in the rust image, any user may fetch crates.
mkdir -p "$stage/usr/local/cargo"
chmod a+w "$stage/usr/local/cargo"

# Copy an administrator's settings: certificates, mirrors, proxies.
take() {
    [ ! -e "$1" ] || { mkdir -p "$stage$(dirname "$2")"; cp -RL "$1" "$stage$2"; }
}
certificates=/etc/ssl/certs/ca-certificates.crt
take "${SSL_CERT_FILE:-$certificates}" $certificates
take "${CARGO_HOME:-$HOME/.cargo}/config.toml" /usr/local/cargo/config.toml
for file in /etc/apt/apt.conf.d/* /etc/apt/auth.conf.d/*; do
    # A file of a package is about that package only.
    dpkg -S "$file" >/dev/null 2>&1 || take "$file" "$file"
done
set -- # from here on, the arguments are those of `docker import`
for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
    value=$(printenv "$name") || continue
    set -- "$@" -c "ENV $name=$value"
done

say "$content"
# Docker refuses a tar that has a path twice, even a folder.
(cd "$stage/usr/local" && find bin lib libexec -depth -exec rmdir {} +)
tar -c -C "$stage" . -C "$(rustc --print sysroot)" \
    --transform='s,^\(bin\|lib\|libexec\)\(/\|$\),usr/local/\1\2,S' bin lib libexec |
    "$docker" import "$@" \
        -c "LABEL workshop.base='$content'" \
        -c 'ENV CARGO_HOME=/usr/local/cargo' \
        -c 'ENV PATH=/usr/local/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
        -c 'CMD ["bash"]' \
        - "$tag" >/dev/null
label >/dev/null # fails if the tar was incomplete
say "$tag is ready"
