#!/bin/sh
# The slides by what this machine has: run.sh serve, or run.sh pdf FILE.
#
# With Rust and npm they are a deck; with Rust alone, one page; with Docker
# alone, a deck out of a container. PORT chooses another port than 8000.
set -eu
# A CDPATH of the caller's would lead into another checkout.
unset CDPATH
cd "$(dirname "$0")/.."
# An empty one is the current folder to some programs and /tmp to others.
[ -n "${TMPDIR:-}" ] || unset TMPDIR
say() { echo "slides: $*" >&2; }

if command -v cargo >/dev/null; then
    if ! [ -d slides/node_modules/reveal.js ]; then
        less='the slides are one page and not a deck'
        [ "$1" = serve ] || less='the PDF has code without colours'
        if command -v npm >/dev/null; then
            say 'fetching reveal.js and highlight.js (once, some 10 MB)'
            (cd slides && npm ci --omit=dev --no-audit --no-fund --silent) ||
                say "npm could not fetch them, so $less"
        else
            say "no npm here, so $less"
        fi
    fi
    # A first build takes seconds and shows it.
    quiet=
    [ ! -x "${CARGO_TARGET_DIR:-target}/debug/slides" ] || quiet=--quiet
    [ "$1" != serve ] || [ -z "${PORT:-}" ] || set -- "$@" --port "$PORT"
    exec cargo run ${quiet:+--quiet} --package slides -- "$@"
fi

docker=${DOCKER:-docker}
image=${SLIDES_IMAGE:-workshop-slides}
port=${PORT:-8000}
if [ "$1" != serve ] || ! command -v "$docker" >/dev/null; then
    say "make slides needs Rust or Docker, a PDF needs Rust and chromium"
    exit 2
fi
# A first build takes a minute or two and shows it.
quiet=--quiet
"$docker" image inspect "$image" >/dev/null 2>&1 || quiet=
[ -n "$quiet" ] || say 'building their image (once, a minute or two)'
DOCKER_BUILDKIT=1 "$docker" build $quiet --file docker/slides.Dockerfile \
    ${BASE:+--build-arg RUST_IMAGE="$BASE"} \
    ${NODE_IMAGE:+--build-arg NODE_IMAGE="$NODE_IMAGE"} \
    ${BASE_IMAGE:+--build-arg BASE_IMAGE="$BASE_IMAGE"} \
    --tag "$image" . >/dev/null || {
    say 'no image, see above. It takes a dockerd that runs, BuildKit (the'
    say 'package docker-buildx), and three images to build upon: where they'
    say 'cannot be pulled, BASE, NODE_IMAGE and BASE_IMAGE name others'
    exit 1
}
say "a container listens on port $port; PORT=N chooses another"
# Inside, the same port: it prints an address that is right outside.
exec "$docker" run --rm --init -p "127.0.0.1:$port:$port" "$image" --port "$port"
