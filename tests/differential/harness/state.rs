//! What a host is like: files, packages, units.

use mini_play::lab::Lab;
use std::collections::BTreeMap;
use std::process::Stdio;

/// Whatever a topic may change. Times and sizes of folders are not looked at, and neither is what both tools keep for themselves.
const LOOK: &str = r#"
cd / && set -f || exit 1
roots='srv etc root home opt usr/local var/spool/cron var/lib/systemd/linger'
skip='-path etc/machine-id -o -path etc/mini-play-lab -o -path etc/ssh/ssh_host_* -o -path root/.ansible -o -path root/.ansible_async -o -path etc/mtab -o -path etc/ld.so.cache -o -path root/.cache'
for root in $roots; do
    [ ! -e "$root" ] || find "$root" \( $skip \) -prune -o -printf 'file /%p\t%y %m %u:%g %l\n'
    [ ! -e "$root" ] || find "$root" \( $skip \) -prune -o -type f -exec sha256sum {} + | sed -E 's/^\\?([0-9a-f]+)  (.*)/hash \/\2\t\1/'
done
dpkg-query -W -f 'package ${binary:Package}\t${db:Status-Abbrev} ${Version}\n'
apt-mark showmanual | sed 's/.*/manual &\tyes/'
apt-mark showhold | sed 's/.*/hold &\tyes/'
debconf-show --listowners | sed 's/.*/debconf &\tyes/'
files=$(systemctl list-unit-files --no-legend --no-pager --full) || exit 1
echo "$files" | awk '{ print "unit file " $1 "\t" $2 }'
units=$(systemctl list-units --all --type=service,socket,timer,path --plain --no-legend --no-pager --full) || exit 1
echo "$units" | awk '{ print "unit " $1 "\t" $2 " " $3 " " $4 }'
echo "hostname	$(hostname)"
"#;

/// Facts of a host by name, such as `file /etc/passwd`.
pub type State = BTreeMap<String, String>;

/// Looks at a host.
pub fn look(lab: &Lab, host: &str) -> State {
    let text = run(lab, host, LOOK);
    text.lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(name, value)| (super::compare::settle(name), value.trim().to_owned()))
        .filter(|(name, value)| !(name.starts_with("unit ") && value.ends_with("inactive dead")))
        .collect()
}

/// Runs a script on a host; its output.
pub fn run(lab: &Lab, host: &str, script: &str) -> String {
    for _ in 0..30 {
        let output = lab
            .ssh(host, &[script.into()])
            .unwrap()
            .stdin(Stdio::null())
            .output()
            .unwrap();
        // 255 is ssh's own failure: a host that was just booted may refuse a connection or two.
        if output.status.code() == Some(255) {
            std::thread::sleep(std::time::Duration::from_millis(300));
            continue;
        }
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{host}: {said}");
        return String::from_utf8_lossy(&output.stdout).into_owned();
    }
    panic!("{host} cannot be reached");
}
