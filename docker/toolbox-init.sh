#!/bin/sh
# Runs inside a sandbox; docker/sandbox.sh calls it.
#
# toolbox-init boot             start dockerd, and wait for the signal to stop
# toolbox-init restart [FLAG…]  end dockerd if it runs, and start it again
# toolbox-init run [COMMAND…]   run a shell or a command, once dockerd answers
# toolbox-init end CALL         end that `run` and its children
# toolbox-init give-back        give root's files in the checkout to its owner
set -eu

LOG=/var/log/dockerd.log
# Exists while dockerd answers and has the test image.
READY=/run/toolbox.ready
PIDFILE=/run/docker.pid
CONTAINERD=/run/containerd/containerd.sock
SLOW='dockerd does not answer yet (it waits 15 seconds for each volume of a dead plugin)'

boot() {
    # Filesystems that a plugin mounts must reach containers that already run.
    mount --make-rshared /
    # Without --privileged, Docker mounts these read-only.
    awk '$3 ~ /^cgroup/ { print $2 }' /proc/mounts | while read -r hierarchy; do
        mount -o remount,bind,rw "$hierarchy"
    done
    make_room_for_groups
    trap 'stop; exit' TERM INT
    lock
    # A restart may have started dockerd already.
    pgrep -x dockerd >/dev/null || start
    unlock
    sleep infinity &
    wait
}

# A group of cgroup v2 cannot have both processes and groups with limits, so our
# processes move into a group of their own. If a process starts meanwhile, the loop
# tries again.
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
    echo 'sandbox: limits, such as of memory, do not work for containers in here' >&2
}

# Only one process at a time starts a dockerd, because `make sandbox-restart` may run
# while a sandbox boots. The daemons themselves do not hold the lock.
lock() {
    exec 9>/run/toolbox.lock
    flock 9
}

unlock() { exec 9>&-; }

start() {
    # Without this containerd, dockerd would start one and wait a second for it.
    if ! pgrep -x containerd >/dev/null; then
        rm -f $CONTAINERD
        setsid containerd --root /var/lib/docker/containerd --log-level warn \
            </dev/null >/var/log/containerd.log 2>&1 9>&- &
        for _ in $(seq 200); do
            [ ! -S $CONTAINERD ] || break
            sleep 0.05
        done
    fi
    # A killed dockerd leaves this file, and another process may have its id now.
    rm -f $PIDFILE
    # In a session of its own, dockerd keeps running after the shell that restarted
    # it has ended.
    setsid dockerd --containerd $CONTAINERD "$@" </dev/null >>$LOG 2>&1 9>&- &
    dockerd=$!
    # dockerd takes connections long before it answers.
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

# dockerd first stops its containers. A container that ignores SIGTERM takes 10
# seconds.
stop() {
    rm -f $READY
    pkill -x dockerd || return 0
    while pgrep -x dockerd >/dev/null; do sleep 0.05; done
}

run() {
    # Wait only a while: this command may start the plugin for which dockerd waits.
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
        # A shell returns the status of its last command, which is not a failure.
        PROMPT_COMMAND='toolbox-init give-back' bash || :
    fi
    rm -f "$call"
    give_back
    return $status
}

# Each `run` leads a session. Interactive shells ignore SIGTERM, so they get SIGHUP
# as well; plugins stop in good order after SIGTERM.
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
