#!/bin/sh
# Builds the checker and calls it: run.sh check exercise 1
#
# docker/prover/run.sh comes here, too, by WORKSHOP_PROGRAM=prover.
#
# The Makefile's recipes come here, so that what can keep a checker from being
# there at all is dealt with in one place.
set -u
# A CDPATH of the caller's would lead into another checkout.
unset CDPATH
cd "$(dirname "$0")/../.." || exit 2
name=${WORKSHOP_PROGRAM:-checker}
unset WORKSHOP_PROGRAM

if ! command -v cargo >/dev/null 2>&1; then
    if command -v "${DOCKER:-docker}" >/dev/null 2>&1; then
        # The same, in a container that has Rust. What was not passed on to it
        # would not arrive: the variables are named in sandbox.sh.
        sh docker/sandbox.sh run sh "docker/$name/run.sh" "$@"
        status=$?
        [ $status = 125 ] || exit $status
        echo "make: with Rust (https://rustup.rs) it would work without Docker" >&2
        exit 2
    fi
    echo "make: neither Rust (no cargo on PATH) nor Docker is installed." >&2
    echo "https://rustup.rs brings the one, https://docs.docker.com the other;" \
        "either is enough." >&2
    exit 2
fi

# Empty, it would mean the current folder to some programs and /tmp to others.
[ -n "${TMPDIR:-}" ] || unset TMPDIR

target=${CARGO_TARGET_DIR:-target}
if ! mkdir -p "$target" 2>/dev/null || ! [ -w "$target" ]; then
    echo "make: $PWD/$target cannot be written to, and builds go there." >&2
    echo "CARGO_TARGET_DIR=/some/folder make … puts them elsewhere." >&2
    exit 2
fi

program=$target/debug/$name
# An idle cargo takes longer than most checks. It is asked when a source or a
# manifest is younger than the program, or when all of the workspace is meant.
is_built() {
    [ "${1:-}" != test ] && [ -x "$program" ] || return 1
    young=$(find docker/stand-in/src docker/checker/src "docker/$name/src" \
        docker/*/Cargo.toml Cargo.toml Cargo.lock -newer "$program" -print)
    [ -z "$young" ]
}
if is_built "$@"; then exec "$program" "$@"; fi
# A first build takes seconds and shows it; later ones have nothing to say.
if [ -x "$program" ]; then quiet=yes; else quiet=; fi
# Built alone, its dependencies lack features that other crates ask for, and cargo
# test would build it once more.
alone="--package $name --package checker"
[ "${1:-}" != test ] || alone=
# shellcheck disable=SC2086 # words
if ! cargo build ${quiet:+--quiet} $alone; then
    # One broken manifest in exercises/ stops cargo for every crate. The checker
    # of the last build names it and can put the starter back.
    [ -x "$program" ] || exit 2
    echo "make: cargo fails, so the $name of the last build goes on" >&2
fi
exec "$program" "$@"
