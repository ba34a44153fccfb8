# Turns a fresh root file system into a lab host's base (run once, in a chroot; its text is part of the cache key).
update-ca-certificates >/dev/null 2>&1

# The build went without recommended packages; what is installed later is Debian's usual choice.
rm -f /etc/apt/apt.conf.d/99mmdebstrap

# Logins: root by key, `student` with sudo by password, `operator` with sudo without one.
useradd --create-home --shell /bin/bash student
# A group of that name has long been there.
useradd --create-home --shell /bin/bash --gid operator operator
echo student:student | chpasswd
# No password at all: key and sudo rule are enough.
usermod --password '*' operator
echo 'student ALL=(ALL:ALL) ALL' >/etc/sudoers.d/student
echo 'operator ALL=(ALL:ALL) NOPASSWD: ALL' >/etc/sudoers.d/operator
chmod 0440 /etc/sudoers.d/student /etc/sudoers.d/operator
mkdir -p /etc/ssh/sshd_config.d
printf '%s\n' 'PermitRootLogin prohibit-password' 'PasswordAuthentication yes' 'UseDNS no' >/etc/ssh/sshd_config.d/10-mini-play-lab.conf

# The lab makes each host's own host key, machine id and name.
rm -f /etc/ssh/ssh_host_*
: >/etc/machine-id
rm -f /var/lib/dbus/machine-id /etc/hostname

# Addresses and cgroups at boot.
chmod 0755 /usr/local/sbin/mini-play-lab-boot
systemctl enable mini-play-lab.service >/dev/null 2>&1

# Updates nobody asked for would hold dpkg's lock, on all hosts at once.
systemctl mask apt-daily.timer apt-daily-upgrade.timer >/dev/null 2>&1
