#!/bin/sh
# Run at boot of a lab host: its address, and cgroup controllers that Docker can write to.
set -eu
. /etc/mini-play-lab
ip link set host0 up
ip addr replace "$ADDRESS" dev host0
ip route replace default via "$GATEWAY"

# On a cgroup v1 machine systemd-nspawn mounts the controllers read-only: mount them again.
# (A list made beforehand: mounting while reading /proc/mounts would never end.)
places=$(sed -n 's#^[^ ]* \(/sys/fs/cgroup/[^ ]*\) cgroup .*#\1#p' /proc/mounts)
for place in $places; do
    [ "$place" = /sys/fs/cgroup/systemd ] && continue
    umount "$place"
    mount -t cgroup -o "${place##*/}" cgroup "$place"
done
