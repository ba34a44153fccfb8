//! The one script that tells everything about a host.
//!
//! It is made of shell builtins and some fifteen small processes: a `grep` that prints many small files at once, one `ip -batch`,
//! one `ls` for symbolic links. Output is a list of sections, each after a line with the control character GS and a name.

use super::Subset;
use crate::modules::sh::quote;

/// Starts every section's head line.
pub(super) const MARK: char = '\x1d';

/// Tells the environment first, before anything is changed in it; then what every subset has.
const BASE: &str = r#"s() { printf '\035%s\n' "$1"; }
s env
tr '\0\n' '\n\036' </proc/self/environ
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin
s files
grep -sHa '' /etc/os-release /etc/lsb-release /etc/debian_version /etc/resolv.conf /etc/machine-id \
  /var/lib/dbus/machine-id /etc/ssh/ssh_host_*_key.pub /etc/iscsi/initiatorname.iscsi \
  /proc/cmdline /proc/1/comm /proc/sys/kernel/hostname /proc/sys/kernel/osrelease /proc/sys/kernel/version \
  /proc/sys/kernel/ostype /proc/sys/crypto/fips_enabled @FILES@
s base
while read -r k a b _; do
  case $k in
    Uid:) echo "uid $a $b" ;;
    Gid:) echo "gid $a $b"; break ;;
  esac
done </proc/self/status
read -r m </proc/sys/kernel/arch || m=$(uname -m)
echo "machine $m"
p=$(command -v python3) && echo "python $p $(python3 -V 2>&1)"
if [ "$m" = x86_64 ] && [ -e /lib64/ld-linux-x86-64.so.2 ]; then echo 'bits 64'; else echo "bits $(getconf LONG_BIT)"; fi
for f in rpm-ostree yum dnf-3 dnf5 apt-get zypper pacman; do [ -e /usr/bin/$f ] && echo "pkg $f"; done
[ -e /sbin/apk ] && echo 'pkg apk'
[ -e /sys/kernel/security/apparmor ] && echo apparmor
command -v systemctl >/dev/null && echo systemctl
if [ -d /run/systemd/system ]; then echo booted; elif [ -L /sbin/init ]; then echo "init $(readlink /sbin/init)"; fi
command -v initctl >/dev/null && [ -d /etc/init ] && echo upstart
[ -e /sbin/openrc ] && echo openrc
[ -d /etc/init.d ] && echo sysvinit
command -v lsb_release >/dev/null && echo lsb_release
[ -e /sys/fs/selinux/enforce ] && echo "selinux $(cat /sys/fs/selinux/enforce)"
s date
d=$(date '+%s %N %Y %m %A %w %W %d %H %M %S %Z %z')
echo "$d"
case $d in
  *' UTC '* | *' GMT '*) ;;
  *) date -d 2025-01-01 '+%Z %z'; date -d 2025-07-01 '+%Z %z' ;;
esac
s user
getent passwd "${LOGNAME:-${USER:-$(id -un)}}" || getent passwd "$(id -u)"
s hosts
export RES_OPTIONS='timeout:2 attempts:1'
read -r h </proc/sys/kernel/hostname
a=$(getent hosts "$h") && getent hosts "${a%%[!0-9a-fA-F:.]*}"
s caps
command -v capsh >/dev/null && capsh --print
"#;

const LOCAL: &str = r#"if [ -d @PATH@ ]; then for f in @PATH@/*.fact; do
  if [ ! -e "$f" ]; then
    [ ! -L "$f" ] || s "local l 0 $f"
  elif [ -x "$f" ]; then
    o=$({ e=$("$f" 2>&1 >&8 8>&- </dev/null); printf '@GS@%s@GS@%s' "$e" $?; } 8>&1)
    r=${o##*@GS@} o=${o%@GS@*}
    s "local x $r $f"
    if [ "$r" -eq 0 ]; then printf '%s\n' "${o%@GS@*}"; else printf '%s\n' "${o##*@GS@}"; fi
  elif [ -r "$f" ]; then
    s "local r 0 $f"; cat "$f"; echo
  fi
done; fi
"#;

const GENERAL: &str = r#"s general
if [ -e /proc/1/root/. ]; then [ / -ef /proc/1/root/. ] || echo chroot
else case $(stat -c %i /) in 2 | 128 | 256) ;; *) echo chroot ;; esac; fi
s systemd
command -v systemctl >/dev/null && [ -d /run/systemd/system ] && systemctl --version
"#;

/// Counters and tables of the kernel, in one go: memory, processors, modules, mounts and which of these are bound.
const STATS: &str = r#"s stats
x=$(grep -sHE '^(MemTotal|MemFree|SwapTotal|SwapFree|Buffers|Cached|SwapCached|processor|Processor|vendor_id|model name|cpu|Vendor|physical id|core id|cpu cores|siblings)[[:space:]]*:|^(kvm|vboxdrv|virtio) |^(/|[^ ]*:/)[^ ]* |^[0-9]+ [0-9]+ [0-9]+:[0-9]+ /[^ ]|control_d' \
  /proc/meminfo /proc/cpuinfo /proc/modules /proc/mounts /proc/self/mountinfo /proc/xen/capabilities)
printf '%s\n' "$x"
"#;

const LINKS: &str = r#"s links
ls -ld @LINKS@ 2>/dev/null
"#;

const HARDWARE: &str = r#"s cpu
grep -m 1 '^flags' /proc/cpuinfo
echo "nproc: $(nproc)"
s blocks
b=
for d in /sys/block/*; do
  case ${d##*/} in loop*) [ -e "$d/loop/backing_file" ] || continue ;; ram*) continue ;; esac
  [ -e "$d/size" ] || continue
  echo "${d##*/}"
  b="$b $d/size $d/removable $d/queue/rotational $d/queue/scheduler $d/queue/logical_block_size $d/queue/discard_granularity $d/queue/discard_max_hw_bytes $d/device/vendor $d/device/model $d/device/serial"
  for p in "$d/${d##*/}"*; do [ -e "$p/start" ] && b="$b $p/start $p/size"; done
  for p in "$d"/holders/dm-*; do [ -e "$p/dm/name" ] && b="$b $p/dm/name"; done
done
s block-files
# shellcheck disable=SC2086 # a list of paths without blanks
[ -z "$b" ] || grep -sHa '' $b
s sizes
set -- stat -f -c '%S %s %b %a %c %d %n' --
while read -r d p t _; do
  case $d in /proc/mounts:*) ;; *) continue ;; esac
  case $p in *\\*) p=$(printf '%b' "$p") ;; esac
  case $t in nfs* | cifs | smb* | fuse* | ceph* | 9p) [ "$1" = timeout ] || set -- timeout 10 "$@" ;; esac
  set -- "$@" "$p"
done <<END
$x
END
"$@" 2>/dev/null
"#;

const NETWORK: &str = r#"s net
for d in /sys/class/net/*; do [ -d "$d" ] && echo "${d##*/}"; done
if command -v ip >/dev/null; then
  s ip
  o=$(ip -force -o -batch - 2>/dev/null <<END
addr show
route get 8.8.8.8
route get 2404:6800:400a:800::1012
route show table all type local
END
  )
  case $o in
    *inet*) printf '%s\n' "$o" ;;
    *) ip -o addr show; ip route get 8.8.8.8; ip -6 route get 2404:6800:400a:800::1012; ip route show table local ;;
  esac
else
  s proc-net
  grep -sH '' /proc/net/route /proc/net/if_inet6
  s fib
  grep -B 1 'host LOCAL' /proc/net/fib_trie
fi 2>/dev/null
"#;

const VIRTUAL: &str = r#"s virtual
for f in /proc/vz /proc/lve /proc/bc /proc/xen /.dockerenv /.dockerinit /dev/kvm; do [ -e $f ] && echo $f; done
if [ -r /proc/1/environ ] && [ ! -e /run/systemd/container ]; then
  IFS= read -r e </proc/1/environ
  case $e in *container=lxc*) echo container=lxc ;; *container=podman*) echo container=podman ;; *container=?*) echo container=other ;; esac
fi
"#;

const DMI: &str = "/sys/devices/virtual/dmi/id/*[a-z]";
const NET_FILES: &str = "/sys/class/net/*/address /sys/class/net/*/mtu /sys/class/net/*/operstate \
/sys/class/net/*/type /sys/class/net/*/flags /sys/class/net/*/speed /sys/class/net/*/bridge/bridge_id \
/sys/class/net/*/bridge/stp_state /sys/class/net/*/bonding/slaves /sys/class/net/*/bonding/mode \
/sys/class/net/*/bonding/miimon /sys/class/net/*/bonding/lacp_rate /sys/class/net/*/bonding/primary \
/sys/class/net/*/bonding/all_slaves_active /sys/class/net/*/bonding_slave/perm_hwaddr";

const DISK_LINKS: &str = "/dev/disk/by-id/* /dev/disk/by-uuid/* /dev/disk/by-label/* /dev/mapper/* /sys/block/*/slaves/*";
const NET_LINKS: &str =
    "/sys/class/net/*/device /sys/class/net/*/device/driver/module /sys/class/net/*/brif/*";

/// The script for a subset.
pub(super) fn write(subset: &Subset, fact_path: &str) -> String {
    let (mut files, mut links) = (Vec::new(), Vec::new());
    if subset.hardware || subset.virtual_ {
        files.push(DMI);
    }
    if subset.hardware {
        files.push("/proc/uptime");
        links.push(DISK_LINKS);
    }
    if subset.general {
        files.push("/proc/loadavg");
    }
    if subset.network {
        files.push(NET_FILES);
        links.push(NET_LINKS);
    }
    if subset.virtual_ {
        files.push("/proc/1/cgroup /run/systemd/container");
    }
    let mut script = BASE.replace("@FILES@", &files.join(" "));
    if !fact_path.is_empty() {
        let path = fact_path.trim_end_matches('/');
        let gs = MARK.to_string();
        script.push_str(&LOCAL.replace("@PATH@", &quote(path)).replace("@GS@", &gs));
    }
    for (wanted, part) in [
        (subset.general, GENERAL),
        (subset.hardware || subset.virtual_, STATS),
        (!links.is_empty(), LINKS),
        (subset.hardware, HARDWARE),
        (subset.network, NETWORK),
        (subset.virtual_, VIRTUAL),
    ] {
        if wanted {
            script.push_str(&part.replace("@LINKS@", &links.join(" ")));
        }
    }
    script.push_str("s end\n");
    script
}
