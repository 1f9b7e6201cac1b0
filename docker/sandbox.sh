#!/bin/sh
# The sandbox: a container with its own dockerd, which you may crash.
#
# usage: docker/sandbox.sh run [COMMAND…]  run a shell or a command in the sandbox;
#                                          starts the sandbox if it does not run
#        docker/sandbox.sh restart [FLAG…] restart its dockerd, with these flags
#        docker/sandbox.sh rm              remove the sandbox; keep built files
#        docker/sandbox.sh image           build its image, print the image's name
#        docker/sandbox.sh name            print the image's name only
#        docker/sandbox.sh container       print the container's name
#
# This is a script because a machine may have Docker without Rust. BASE names
# another base image, DOCKER another client than `docker`. The exit status is that
# of COMMAND, or 125 if the sandbox cannot be started.
set -eu

# With the caller's CDPATH, cd could lead into another checkout.
unset CDPATH
cd "$(dirname "$0")/.."
docker=${DOCKER:-docker}
# Each checkout has one sandbox, which all shells share.
name=workshop-$(pwd -P | cksum | cut -d ' ' -f 1)
# If these files change, the image gets another name.
recipe=$(cat docker/toolbox.Dockerfile docker/toolbox-init.sh | cksum)
image=workshop-toolbox:${recipe%% *}

say() { echo "sandbox: $*" >&2; }
fail() { say "$@"; exit 125; }

# Runs a docker command and keeps its output in `$said`.
try() { said=$("$docker" "$@" 2>&1); }

need_daemon() {
    command -v "$docker" >/dev/null ||
        fail "no $docker on this machine: https://docs.docker.com/get-started/get-docker/"
    try version && return
    case $said in
    *'permission denied'*)
        next='join the group of its socket (sudo usermod -aG docker YOU, then log in again), or become root' ;;
    *'is too new'* | *'is too old'*)
        next='update the older of client and dockerd (docker version shows both), or name another client: DOCKER=/usr/bin/docker' ;;
    *) next='start it: Docker Desktop, or sudo systemctl start docker' ;;
    esac
    fail "$(echo "$said" | tail -n 1)
sandbox: $next"
}

build() {
    ! try image inspect "$image" || return 0
    say 'building the image, once (a minute, about 100 MB, and the rust image)'
    "$docker" build --tag "$image" ${BASE:+--build-arg BASE="$BASE"} \
        --file docker/toolbox.Dockerfile docker >&2 ||
        fail 'the image was not built, see above. If the rust image cannot be pulled: BASE=IMAGE names another base image; docker load reads one from a file, and docker/prover/base-image.sh makes one'
}

running() { [ "$("$docker" container inspect --format '{{.State.Running}}' "$name" 2>/dev/null)" = true ]; }

start() {
    need_daemon
    if try container inspect --format '{{.Config.Image}}' "$name"; then
        [ "$said" = "$image" ] || say "this sandbox is of another version of the workshop: $0 rm removes it, and the next command makes a new one"
        running || try start "$name" || fail "$said (remove this sandbox: $0 rm)"
        return
    fi
    build
    set -- --privileged
    if ! try run --rm --entrypoint true "$@" "$image"; then
        say 'privileged containers are not allowed here, so the sandbox gets all capabilities except one'
        set -- --cap-add ALL --cap-drop SYS_RESOURCE --cgroupns private \
            --security-opt seccomp=unconfined --security-opt apparmor=unconfined \
            --security-opt systempaths=unconfined --device-cgroup-rule 'a *:* rwm'
    fi
    # Otherwise Docker would make this folder as root.
    mkdir -p target
    source=$(pwd -P | sed 's/"/""/g')
    # dockerd and plugins write to volumes, because overlay filesystems do not stack.
    # /dev is the host's, where new loop devices appear. /run starts empty, as after
    # a boot.
    if ! try run --detach --name "$name" --hostname sandbox "$@" \
        --mount "type=bind,\"source=$source\",target=/workshop" \
        --mount type=volume,source="$name-target",target=/workshop/target \
        --mount type=volume,source=workshop-cargo,target=/usr/local/cargo/registry \
        --mount type=volume,target=/var/lib/docker \
        --mount type=volume,target=/var/lib/workshop \
        --mount type=bind,source=/dev,target=/dev \
        --tmpfs /run \
        "$image"; then
        reason=$said
        case $reason in
        *'is already in use by container'*) # another shell was faster
            # A dead plugin delays this machine's own Docker by half a minute.
            tries=60
            until running || [ $tries = 0 ]; do tries=$((tries - 1)); sleep 1; done
            ! running || return 0
            ;;
        *) try rm --force --volumes "$name" || : ;;
        esac
        fail "$reason
sandbox: you can work without it: make check-exercise-1 uses the stand-in daemon"
    fi
}

# The docker client does not pass the end of its terminal on to the command. Without
# the trap, a plugin would keep running after its window was closed.
enter() {
    set -- --env SANDBOX_CALL=$$ "$name" toolbox-init "$@"
    for variable in NO_COLOR RUST_LOG NAME HOLE SEED PROOFS AGAINST DOCKERD ENGINE RECORD \
        REQUIRE ONLY STEP AGAINST_STEP JSON JUNIT; do
        set -- --env $variable "$@"
    done
    [ ! -t 0 ] || [ ! -t 1 ] || set -- --tty "$@"
    trap 'try exec "$name" toolbox-init end $$ || :' HUP INT TERM
    exec 3<&0 # a command in the background loses its standard input
    "$docker" exec --interactive "$@" <&3 &
    status=0
    wait $! || status=$?
    ! kill -0 $! 2>/dev/null || wait $! || : # a trap cut the first one short
    exit $status
}

verb=${1:-help}
[ $# = 0 ] || shift
case $verb in
run) start && enter run "$@" ;;
restart) start && enter restart "$@" ;;
name) echo "$image" ;;
container) echo "$name" ;;
image) need_daemon && build && echo "$image" ;;
rm)
    need_daemon
    ! running || try exec "$name" toolbox-init give-back || :
    try rm --force --volumes "$name" || case $said in
    *'No such container'*) ;;
    *) fail "$said" ;;
    esac
    say "the sandbox is removed. docker volume rm $name-target workshop-cargo removes its caches as well"
    ;;
*) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" && exit 125 ;;
esac
