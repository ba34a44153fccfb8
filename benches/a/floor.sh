# By hand: the facts that workload A uses and the state that it asks, in one script.
LC_ALL=C; export LC_ALL; exec 2>/dev/null
cat /etc/os-release /etc/debian_version /etc/machine-id /etc/resolv.conf /proc/cmdline /proc/meminfo /proc/cpuinfo /proc/mounts
uname -a; id; date; hostname; getent passwd root; ip -o addr; ip route; df -P
dpkg-query -W -f '${Package} ${Version} ${Status}\n' base-files coreutils dash dpkg grep sed tar gzip
cd /opt/bench || exit
stat -c '%n %f %u %g %s %Y' d0 d1 d2 d3 d4 d5 d0/* d1/* d2/* d3/*
sha1sum d0/* d1/*
cat d2/*
systemctl show -p Id,LoadState,ActiveState,UnitFileState ssh dbus systemd-journald systemd-logind
