#!/bin/sh
# Shows the slides with the tools of this machine: run.sh serve, or run.sh pdf FILE.
#
# Rust and npm give a deck, Rust alone gives one page, and Docker alone gives a deck
# out of a container. PORT chooses another port than 8000.
set -eu
# With the caller's CDPATH, cd could lead into another checkout.
unset CDPATH
cd "$(dirname "$0")/.."
# Some programs take an empty TMPDIR for the current folder, others for /tmp.
[ -n "${TMPDIR:-}" ] || unset TMPDIR
say() { echo "slides: $*" >&2; }

if command -v cargo >/dev/null; then
    if ! [ -d slides/node_modules/reveal.js ]; then
        less='the slides are one page and not a deck'
        [ "$1" = serve ] || less='the code in the PDF has no colours'
        if command -v npm >/dev/null; then
            say 'fetching reveal.js and highlight.js (once, some 10 MB)'
            (cd slides && npm ci --omit=dev --no-audit --no-fund --silent) ||
                say "npm could not fetch them, so $less"
        else
            say "no npm here, so $less"
        fi
    fi
    # The first build takes seconds, so it shows its progress.
    quiet=
    [ ! -x "${CARGO_TARGET_DIR:-target}/debug/slides" ] || quiet=--quiet
    [ "$1" != serve ] || [ -z "${PORT:-}" ] || set -- "$@" --port "$PORT"
    exec cargo run ${quiet:+--quiet} --package slides -- "$@"
fi

docker=${DOCKER:-docker}
image=${SLIDES_IMAGE:-workshop-slides}
port=${PORT:-8000}
if [ "$1" != serve ] || ! command -v "$docker" >/dev/null; then
    say "make slides needs Rust or Docker, make slides-pdf needs Rust and chromium"
    exit 2
fi
# The first build takes a minute or two, so it shows its progress.
quiet=--quiet
"$docker" image inspect "$image" >/dev/null 2>&1 || quiet=
[ -n "$quiet" ] || say 'building the image of the slides (once, a minute or two)'
DOCKER_BUILDKIT=1 "$docker" build $quiet --file docker/slides.Dockerfile \
    ${BASE:+--build-arg RUST_IMAGE="$BASE"} \
    ${NODE_IMAGE:+--build-arg NODE_IMAGE="$NODE_IMAGE"} \
    ${BASE_IMAGE:+--build-arg BASE_IMAGE="$BASE_IMAGE"} \
    --tag "$image" . >/dev/null || {
    say 'the image was not built, see above. The build needs a running dockerd,'
    say 'BuildKit (the package docker-buildx), and three base images: if these'
    say 'cannot be pulled, BASE, NODE_IMAGE and BASE_IMAGE name others'
    exit 1
}
say "a container listens on port $port; PORT=N chooses another"
# The same port inside, so that the printed address is right outside, too.
exec "$docker" run --rm --init -p "127.0.0.1:$port:$port" "$image" --port "$port"
