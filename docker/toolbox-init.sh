#!/bin/sh
# What runs inside a sandbox; docker/sandbox.sh is how to get there.
#
# toolbox-init boot             start dockerd, and stay until told to stop
# toolbox-init restart [FLAG…]  end dockerd, if it lives, and start it again
# toolbox-init run [COMMAND…]   a shell or a command, once dockerd answers
# toolbox-init end CALL         end that `run`, and all that it started
# toolbox-init give-back        the checkout's owner gets what root made there
set -eu

LOG=/var/log/dockerd.log
# There from the moment dockerd answers and has the test image.
READY=/run/toolbox.ready
PIDFILE=/run/docker.pid
CONTAINERD=/run/containerd/containerd.sock
SLOW='dockerd does not answer yet (a plugin that is missing costs it 15 seconds a volume)'

boot() {
    # Filesystems that a plugin mounts must reach containers that already run.
    mount --make-rshared /
    # Without --privileged, Docker mounts these to be looked at only.
    awk '$3 ~ /^cgroup/ { print $2 }' /proc/mounts | while read -r hierarchy; do
        mount -o remount,bind,rw "$hierarchy"
    done
    make_room_for_groups
    trap 'stop; exit' TERM INT
    lock
    # A restart may have been faster.
    pgrep -x dockerd >/dev/null || start
    unlock
    sleep infinity &
    wait
}

# A group of cgroup v2 holds processes or groups with limits, never both: ours
# move into one of their own. A process that starts meanwhile needs a next try.
make_room_for_groups() {
    groups=/sys/fs/cgroup
    [ -e $groups/cgroup.controllers ] || return 0
    mkdir -p $groups/toolbox
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        while read -r process; do
            echo "$process" >$groups/toolbox/cgroup.procs || :
        done <$groups/cgroup.procs
        sed 's/[^ ][^ ]*/+&/g' $groups/cgroup.controllers \
            >$groups/cgroup.subtree_control && return
    done 2>/dev/null
    echo 'sandbox: containers in here get no limits of memory and the like' >&2
}

# One at a time starts a dockerd: `make sandbox-restart` comes while a sandbox
# boots, too. What start leaves running does not hold the lock.
lock() {
    exec 9>/run/toolbox.lock
    flock 9
}

unlock() { exec 9>&-; }

start() {
    # A containerd of its own is what dockerd would wait a second for.
    if ! pgrep -x containerd >/dev/null; then
        rm -f $CONTAINERD
        setsid containerd --root /var/lib/docker/containerd --log-level warn \
            </dev/null >/var/log/containerd.log 2>&1 9>&- &
        for _ in $(seq 200); do
            [ ! -S $CONTAINERD ] || break
            sleep 0.05
        done
    fi
    # A killed dockerd leaves its number, and another process may have it now.
    rm -f $PIDFILE
    # In a session of its own it outlives the shell that restarted it.
    setsid dockerd --containerd $CONTAINERD "$@" </dev/null >>$LOG 2>&1 9>&- &
    dockerd=$!
    # Its socket takes a connection long before it answers.
    { sleep 3 >/dev/null 2>&1 && tell "$SLOW"; } 9>&- &
    reminder=$!
    until docker version >/dev/null 2>&1; do
        kill -0 $dockerd 2>/dev/null || { tell 'dockerd ended'; break; }
        sleep 0.05
    done
    kill $reminder 2>/dev/null || :
    kill -0 $dockerd 2>/dev/null || exit 2
    docker image inspect busybox >/dev/null 2>&1 ||
        tar -c -C /opt/busybox . | docker import \
            -c 'ENV PATH=/bin' -c 'CMD ["sh"]' - busybox >/dev/null
    touch $READY
}

# dockerd first stops its containers: one that ignores SIGTERM takes 10 seconds.
stop() {
    rm -f $READY
    pkill -x dockerd || return 0
    while pgrep -x dockerd >/dev/null; do sleep 0.05; done
}

run() {
    # Not for ever: who comes may be the one to start the missing plugin.
    for _ in $(seq 100); do
        [ ! -e $READY ] || break
        sleep 0.05
    done
    [ -e $READY ] || tell "$SLOW"
    call=/run/toolbox.${SANDBOX_CALL:-0}
    echo $$ >"$call"
    status=0
    if [ $# -gt 0 ]; then
        "$@" || status=$?
    else
        # How the last command in a shell ended is nobody's failure.
        PROMPT_COMMAND='toolbox-init give-back' bash || :
    fi
    rm -f "$call"
    give_back
    return $status
}

# Every `run` is the first of its session. Shells ignore one of the signals, and
# only the other one is what a plugin stops at in good order.
end() {
    session=$(cat "/run/toolbox.$1")
    rm -f "/run/toolbox.$1"
    pkill -TERM -s "$session" || :
    pkill -HUP -s "$session" || :
    give_back
}

give_back() {
    owner=$(stat -c %u:%g /workshop)
    [ "$owner" = 0:0 ] || find /workshop -path /workshop/target -prune -o \
        -user 0 -exec chown --no-dereference "$owner" {} + 2>/dev/null || :
}

tell() {
    echo "sandbox: $1; the end of its log, $LOG:" >&2
    tail -n 3 $LOG >&2
}

verb=$1
shift
case $verb in
boot) boot ;;
restart)
    lock
    stop
    start "$@"
    ;;
run) run "$@" ;;
end) end "$@" ;;
give-back) give_back ;;
esac
