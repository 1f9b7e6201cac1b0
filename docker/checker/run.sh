#!/bin/sh
# Builds the checker and calls it: run.sh check exercise 1
#
# docker/prover/run.sh calls this script with WORKSHOP_PROGRAM=prover.
#
# The Makefile's recipes call it as well, so that one place handles a missing
# cargo, a target folder that is not writable, and a broken manifest.
set -u
# With the caller's CDPATH, cd could lead into another checkout.
unset CDPATH
cd "$(dirname "$0")/../.." || exit 2
name=${WORKSHOP_PROGRAM:-checker}
unset WORKSHOP_PROGRAM

if ! command -v cargo >/dev/null 2>&1; then
    if command -v "${DOCKER:-docker}" >/dev/null 2>&1; then
        # Run the same command in a container that has Rust. sandbox.sh lists the
        # variables that it passes on.
        sh docker/sandbox.sh run sh "docker/$name/run.sh" "$@"
        status=$?
        [ $status = 125 ] || exit $status
        echo "make: with Rust (https://rustup.rs), this works without Docker" >&2
        exit 2
    fi
    echo "make: neither Rust (no cargo on PATH) nor Docker is installed." >&2
    echo "Install one of them: https://rustup.rs or https://docs.docker.com" >&2
    exit 2
fi

# Some programs take an empty TMPDIR for the current folder, others for /tmp.
[ -n "${TMPDIR:-}" ] || unset TMPDIR

target=${CARGO_TARGET_DIR:-target}
if ! mkdir -p "$target" 2>/dev/null || ! [ -w "$target" ]; then
    echo "make: builds need $target, where you may not write." >&2
    echo "CARGO_TARGET_DIR=/some/folder make … builds in another folder." >&2
    exit 2
fi

program=$target/debug/$name
# cargo takes longer than most checks, even if there is nothing to build. So it runs
# only if a source or a manifest is younger than the program, or for `make test`,
# which builds the whole workspace.
is_built() {
    [ "${1:-}" != test ] && [ -x "$program" ] || return 1
    # Another checkout may build into the same folder; $program.d lists the sources.
    grep -qF "$(pwd -P)/docker/$name/src/" "$program.d" 2>/dev/null || return 1
    young=$(find docker/stand-in/src docker/checker/src "docker/$name/src" \
        docker/*/Cargo.toml Cargo.toml Cargo.lock -newer "$program" -print)
    [ -z "$young" ]
}
if is_built "$@"; then exec "$program" "$@"; fi
# The first build takes seconds, so it shows its progress. Later builds print errors
# only.
if [ -x "$program" ]; then quiet=yes; else quiet=; fi
# A build of these packages alone leaves out features that other crates need, and
# cargo test would build them again.
alone="--package $name --package checker"
[ "${1:-}" != test ] || alone=
# shellcheck disable=SC2086 # words
if ! cargo build ${quiet:+--quiet} $alone; then
    # With one broken manifest in exercises/, cargo builds nothing. The checker of
    # the last build names the manifest and can restore the starter.
    [ -x "$program" ] || exit 2
    echo "make: cargo failed, so the $name of the last build runs" >&2
fi
exec "$program" "$@"
