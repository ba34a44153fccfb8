//! The shell that `apt` sends: one `apt-get` call for a list of packages, waiting for locks and mending an interrupted dpkg.

use crate::modules::fetch;
use crate::modules::sh::{glob_regex, join, quote};

/// Options of every `apt-get` call of a step.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    /// dpkg's, without dashes.
    pub(crate) dpkg: Vec<String>,
    /// Seconds to wait for a lock.
    pub(crate) lock_timeout: i64,
    /// What `policy-rc.d` answers meanwhile.
    pub(crate) policy_rc_d: Option<i64>,
}

impl Options {
    /// The command line up to the verb, as people read it.
    pub(crate) fn apt_get(&self) -> String {
        let mut line = String::from("apt-get -y");
        for option in &self.dpkg {
            line.push_str(&format!(
                " -o {}",
                quote(&format!("Dpkg::Options::=--{option}"))
            ));
        }
        line.push_str(&format!(
            " -o DPkg::Lock::Timeout={} -o Dpkg::Use-Pty=0",
            self.lock_timeout
        ));
        line
    }

    /// A script in which `mp_apt COMMAND…` runs a command of apt's.
    pub(crate) fn script(&self, body: &str) -> String {
        let dpkg = join(self.dpkg.iter().map(|option| format!("--{option}")));
        let policy = self.policy_rc_d.map_or(String::new(), |code| {
            format!(
                "mp_policy=/usr/sbin/policy-rc.d\n\
                 if [ -e $mp_policy ]; then mv $mp_policy \"$MP_TMP/policy-rc.d\" || exit; fi\n\
                 trap 'if [ -e \"$MP_TMP/policy-rc.d\" ]; then mv \"$MP_TMP/policy-rc.d\" $mp_policy; else rm -f $mp_policy; fi' EXIT\n\
                 trap 'exit 143' HUP INT TERM\n\
                 printf '#!/bin/sh\\nexit {code}\\n' >$mp_policy && chmod 755 $mp_policy || exit\n"
            )
        });
        format!(
            "{}{policy}{body}",
            PRELUDE
                .replace("@LOCK@", &self.lock_timeout.to_string())
                .replace("@DPKG@", &dpkg)
        )
    }
}

/// `mp_apt` keeps output in files: an attempt that met a lock leaves no trace in what is reported.
const PRELUDE: &str = r#"export DEBIAN_FRONTEND=noninteractive DEBIAN_PRIORITY=critical LANG=C LC_ALL=C LANGUAGE=C
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
mp_end=$(($(date +%s) + @LOCK@)) mp_mended=
mp_holder() {
  for mp_file in /var/lib/dpkg/lock-frontend /var/lib/dpkg/lock /var/lib/apt/lists/lock /var/cache/apt/archives/lock; do
    mp_inode=$(stat -c %i "$mp_file" 2>/dev/null) || continue
    while read -r _ _ _ _ mp_pid mp_where _; do
      case $mp_where in
        *:"$mp_inode") read -r mp_name </proc/"$mp_pid"/comm && echo "N: $mp_file is held by process $mp_pid ($mp_name)" ;;
      esac
    done </proc/locks
  done 2>/dev/null
}
mp_apt() {
  while :; do
    "$@" >"$MP_TMP/apt.out" 2>"$MP_TMP/apt.err" </dev/null; mp_rc=$?
    [ $mp_rc -ne 0 ] || break
    if [ -z "$mp_mended" ] && grep -q 'dpkg was interrupted' "$MP_TMP/apt.err"; then
      mp_mended=1
      dpkg @DPKG@ --configure -a >"$MP_TMP/apt.mend" 2>&1 </dev/null || cat "$MP_TMP/apt.mend" >&2
    elif grep -qE 'Could not get lock|Unable to (lock|acquire)' "$MP_TMP/apt.err"; then
      if [ "$(date +%s)" -ge "$mp_end" ]; then mp_holder >>"$MP_TMP/apt.err"; break; fi
      sleep 1
    else
      break
    fi
  done
  cat "$MP_TMP/apt.out"; cat "$MP_TMP/apt.err" >&2
  return $mp_rc
}
"#;

/// When the package lists were last fetched, in seconds since 1970, or 0.
const FETCHED: &str =
    "f=/var/lib/apt/periodic/update-success-stamp; [ -e $f ] || f=/var/lib/apt/lists
stat -c %Y $f 2>/dev/null || echo 0";

/// When the package lists were last fetched, and the host's time: two lines.
pub(crate) fn stamps() -> String {
    format!("{FETCHED}\ndate +%s")
}

/// Fetches package lists, trying again a few times as long as that makes sense; its last line says when they were fetched.
pub(crate) fn update(retries: i64, max_delay: i64) -> String {
    format!(
        "mp_try=1 mp_delay=1\n\
         while :; do\n \
         mp_apt apt-get -o APT::Update::Error-Mode=any update >\"$MP_TMP/update.out\" 2>\"$MP_TMP/update.err\"; mp_rc=$?\n \
         [ $mp_rc -ne 0 ] || grep -qE '^[WE]: (Failed to fetch|Some index files failed|GPG error|The repository)' \"$MP_TMP/update.err\" || break\n \
         [ $mp_rc -ne 0 ] || mp_rc=100\n \
         [ $mp_try -lt {retries} ] || break\n \
         grep -qE 'NO_PUBKEY|is not signed|Malformed|does not have a Release file|Could not get lock' \"$MP_TMP/update.err\" && break\n \
         sleep $mp_delay; mp_try=$((mp_try + 1)) mp_delay=$((mp_delay * 2))\n \
         [ $mp_delay -le {max_delay} ] || mp_delay={max_delay}\n\
         done\n\
         cat \"$MP_TMP/update.out\"; cat \"$MP_TMP/update.err\" >&2\n\
         {FETCHED}\nexit $mp_rc"
    )
}

/// Names that match a pattern, among those apt knows.
pub(crate) fn expand(pattern: &str) -> String {
    let (name, arch) = pattern.split_once(':').unwrap_or((pattern, ""));
    let suffix = if arch.is_empty() {
        String::new()
    } else {
        format!(" | sed {}", quote(&format!("s/$/:{arch}/")))
    };
    format!(
        "apt-cache pkgnames | grep -xE -e {} | sort{suffix}",
        quote(&glob_regex(name))
    )
}

/// Those of some names that an installed package provides.
pub(crate) fn provided<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: String = names.map(|name| format!(" -e {}", quote(name))).collect();
    format!(
        "dpkg-query -W -f='${{db:Status-Abbrev}} ${{Provides}}\\n' | sed -n 's/^.i[^ ]* *//p' | tr ',' '\\n' | \
         sed 's/^ *//; s/ .*//' | grep -Fx{names} | sort -u"
    )
}

/// What apt knows of some names.
pub(crate) fn policy<'a>(names: impl Iterator<Item = &'a str>, release: Option<&str>) -> String {
    let release = release.map_or(String::new(), |release| format!(" -t {}", quote(release)));
    format!("apt-cache{release} policy -- {}", join(names))
}

/// Name, version and architecture of package files, three lines each.
pub(crate) fn deb_fields(files: &[String]) -> String {
    let files: Vec<String> = files.iter().map(|file| path(file)).collect();
    format!(
        "for f in {}; do [ -e \"$f\" ] || {{ echo \"E:Could not open file $f - open (2: No such file or directory)\"; exit 2; }}\n\
         dpkg-deb -W --showformat='${{Package}}\\n${{Version}}\\n${{Architecture}}\\n' \"$f\" 2>&1 || exit; done",
        files.join(" ")
    )
}

/// Installs package files; an apt older than 1.1 cannot, dpkg can.
pub(crate) fn install_debs(line: &str, files: &[String], dpkg: &[String]) -> String {
    let files: Vec<String> = files
        .iter()
        .map(|file| {
            if file.contains('/') {
                path(file)
            } else {
                format!("./{}", path(file))
            }
        })
        .collect();
    let files = files.join(" ");
    let dpkg = join(dpkg.iter().map(|option| format!("--{option}")));
    format!(
        "mp_apt {line} {files} && exit\nmp_rc=$?\n\
         grep -qE 'Unable to locate package|t find any package' \"$MP_TMP/apt.err\" || exit $mp_rc\n\
         mp_apt dpkg {dpkg} -i {files} || mp_apt {line} -f"
    )
}

/// Downloads a package file into `$MP_TMP/download.deb`.
pub(crate) fn download(url: &str) -> String {
    format!("{} || exit\n", fetch::to(url, "\"$MP_TMP/download.deb\""))
}

fn path(file: &str) -> String {
    crate::modules::sh::expanding(file, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every script must be read by every shell there is.
    #[test]
    fn shells_read_the_scripts() {
        let options = Options {
            dpkg: vec!["force-confold".into()],
            lock_timeout: 60,
            policy_rc_d: Some(101),
        };
        let scripts = [
            options.script(&update(5, 12)),
            options.script(&install_debs("apt-get install", &["x y.deb".into()], &[])),
            options.script(&download("http://x/y.deb")),
            deb_fields(&["~/x.deb".into()]),
            expand("lib*[!0-9]:i386"),
            provided(["mta"].into_iter()),
        ];
        for shell in [&["dash"][..], &["bash", "--posix"], &["busybox", "sh"]] {
            for script in &scripts {
                let out = std::process::Command::new(shell[0])
                    .args(&shell[1..])
                    .args(["-n", "-c", script])
                    .output();
                let Ok(out) = out else { continue };
                assert!(
                    out.status.success() && out.stderr.is_empty(),
                    "{shell:?}: {}\n{script}",
                    String::from_utf8_lossy(&out.stderr)
                );
            }
        }
    }
}
