#!/bin/sh
# The sandbox: a container with a dockerd of its own, which you may crash.
#
# usage: docker/sandbox.sh run [COMMAND…]  a shell or a command in the sandbox,
#                                          which is started first if need be
#        docker/sandbox.sh restart [FLAG…] restart its dockerd, with such flags
#        docker/sandbox.sh rm              remove it; what was built stays cached
#        docker/sandbox.sh image           build its image, print its name
#        docker/sandbox.sh name            print that name only
#        docker/sandbox.sh container       print the name of its container
#
# It is a script because a machine may have Docker and no Rust. BASE names
# another base image, DOCKER another client than `docker`. Exit status: that of
# COMMAND; 125 if there is no sandbox to run it in.
set -eu

# A CDPATH of the caller's would lead into another checkout.
unset CDPATH
cd "$(dirname "$0")/.."
docker=${DOCKER:-docker}
# One sandbox a checkout, found again from any shell.
name=workshop-$(pwd -P | cksum | cut -d ' ' -f 1)
# A change of what it is made of is another image.
recipe=$(cat docker/toolbox.Dockerfile docker/toolbox-init.sh | cksum)
image=workshop-toolbox:${recipe%% *}

say() { echo "sandbox: $*" >&2; }
fail() { say "$@"; exit 125; }

# Leaves `$said` for whoever wants to know why it failed.
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
    say 'building its image (once: about 100 MB and a minute, and the rust image)'
    "$docker" build --tag "$image" ${BASE:+--build-arg BASE="$BASE"} \
        --file docker/toolbox.Dockerfile docker >&2 ||
        fail 'no image, see above. If the rust image cannot be pulled from here: BASE=IMAGE is built upon instead, docker load brings one from a file, docker/prover/base-image.sh makes one'
}

running() { [ "$("$docker" container inspect --format '{{.State.Running}}' "$name" 2>/dev/null)" = true ]; }

start() {
    need_daemon
    if try container inspect --format '{{.Config.Image}}' "$name"; then
        [ "$said" = "$image" ] || say "it is of another edition of the workshop: $0 rm starts afresh"
        running || try start "$name" || fail "$said (start afresh: $0 rm)"
        return
    fi
    build
    set -- --privileged
    if ! try run --rm --entrypoint true "$@" "$image"; then
        say 'no privileged container may start here, so it gets all capabilities but one'
        set -- --cap-add ALL --cap-drop SYS_RESOURCE --cgroupns private \
            --security-opt seccomp=unconfined --security-opt apparmor=unconfined \
            --security-opt systempaths=unconfined --device-cgroup-rule 'a *:* rwm'
    fi
    # Docker would make this mount point as root.
    mkdir -p target
    source=$(pwd -P | sed 's/"/""/g')
    # Overlay filesystems do not stack: volumes hold what dockerd and plugins
    # write. /dev is the kernel's own, where new loop devices appear. /run starts
    # empty, as after a boot.
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
            # A dead plugin of this machine's own Docker costs it half a minute.
            tries=60
            until running || [ $tries = 0 ]; do tries=$((tries - 1)); sleep 1; done
            ! running || return 0
            ;;
        *) try rm --force --volumes "$name" || : ;;
        esac
        fail "$reason
sandbox: without one, the stand-in daemon still grades: make check-exercise-1"
    fi
}

# Docker's client tells a command nothing of the end of its terminal or of its
# own: without the trap, a plugin would run on after its window was closed.
enter() {
    set -- --env SANDBOX_CALL=$$ "$name" toolbox-init "$@"
    for variable in NO_COLOR RUST_LOG NAME SEED PROOFS AGAINST ENGINE RECORD; do
        set -- --env $variable "$@"
    done
    [ ! -t 0 ] || [ ! -t 1 ] || set -- --tty "$@"
    trap 'try exec "$name" toolbox-init end $$ || :' HUP INT TERM
    exec 3<&0 # what is in the background loses its standard input
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
    say "gone. docker volume rm $name-target workshop-cargo would empty its caches, too"
    ;;
*) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" && exit 125 ;;
esac
