//! Writes the one script that answers a set of probes.
//!
//! Few processes: what the shell can test itself (`-e`, `-L`, `-r`) is not asked of a command, and each command gets
//! all its operands at once. Few bytes: a path is sent once, inside a small function that hands its paths to whatever
//! command is named behind it, so that `p0 p1 stat` runs `stat` on the paths of both. Every record has a known place and an
//! end. What may hold anything, bytes of files and output of scripts, ends with a mark that holds the kept shell's nonce, so
//! nothing in them is ever read as ours, and no file is needed to keep them until their length is known.

use super::Probe;
use super::layout::{Layout, Question};
use crate::modules::sh;
use crate::remote::Chunk;
use std::fmt::Write as _;

/// Fields of a `stat` line; the names come last because they may hold blanks.
pub(crate) const STAT: &str = "%f %u %g %s %.9X %.9Y %.9Z %i %d %h %b %o %t %T %U:%G";

/// Properties asked of systemd.
const PROPERTIES: &str = "Id,Names,Description,LoadState,ActiveState,SubState,UnitFileState,UnitFilePreset,\
Type,MainPID,Result,LoadError,ExecMainStatus,NeedDaemonReload,FragmentPath,SourcePath,DropInPaths,RefuseManualStart,CanReload";

/// `k`: runs `$c` on those operands that pass the test `$t`, after a line with `+` for each that does, `-` for each that does not,
/// `?` where a folder on the way cannot be searched. `d` looks for such a folder.
const SELECT: &str = r#"d() {
  [ -e "$p" ] && return 1
  z=$p
  while :; do
    case $z in */*) z=${z%/*} ;; *) return 1 ;; esac
    [ "$z" ] || return 1
    if [ -d "$z" ]; then
      [ -x "$z" ] || x='?'
      return 1
    fi
  done
}
E() { [ -e "$p" ] || [ -L "$p" ] || d; }
F() { [ -L "$p" ] && [ -e "$p" ]; }
K() { [ -L "$p" ]; }
R() {
  if [ -f "$p" ]; then [ -r "$p" ] && return; x='?'; return 1; fi
  d
}
k() {
  s='' q='' i=0
  for p; do
    i=$((i + 1)) x=-
    $t && x=+ q="$q \"\${$i}\""
    s=$s$x
  done
  printf '%s\n' "$s"
  [ "$q" ] && eval "$c --$q"
  echo '='
}
"#;

/// Targets of links, each ended by NUL, then an empty one and the status. Where `readlink` takes one name at a time (busybox) they come in a second list.
const READLINK: &str = r#"rl() {
  shift
  readlink -z -- "$@"
  y=$?
  printf '\0%s\0' $y
  [ $y = 0 ] && return
  for l; do readlink -n -- "$l"; printf '\0'; done
}
"#;

/// `a`: a digit for each path, what may be done with it.
const ACCESS: &str = r#"a() {
  s=''
  for p; do
    x=0
    [ -r "$p" ] && x=$((x + 4))
    [ -w "$p" ] && x=$((x + 2))
    [ -x "$p" ] && x=$((x + 1))
    s=$s$x
  done
  printf '%s\n' "$s"
}
"#;

/// Real paths of links, each ended by NUL.
const REAL: &str = r#"re() {
  shift
  for l; do printf '%s\0' "$(readlink -f -- "$l")"; done
}
"#;

/// `h`: the first bytes of each readable regular file, after a line as that of `k`.
const HEAD: &str = r#"h() {
  s=''
  for p; do
    x=-
    R && x=+
    s=$s$x
  done
  printf '%s\n' "$s"
  for p; do
    case $s in +*) head -c "$l" -- "$p"; printf '\002%s %s\n' "$m" $? ;; esac
    s=${s#?}
  done
}
"#;

/// `r`: runs a script: its output, then its status and its errors.
const RUN: &str = r#"r() {
  { e=$(eval "$1" 2>&1 >&9 9>&- </dev/null); } 9>&1
  printf '\002%s %s\n%s\002%s\n' "$m" $? "$e" "$m"
}
"#;

/// `v`: units, by whatever manages them here. For each a letter about its script in `/etc/init.d` (`-` none, `n` not enabled,
/// `e` enabled), then blocks of properties with an empty line between them.
const UNITS: &str = r#"if [ -d /run/systemd/system ]; then w=systemd
elif [ -x /sbin/initctl ] && initctl version | grep -q upstart; then w=upstart
elif [ -d /etc/init.d ]; then w=sysv
else w=; fi
v() {
  s=''
  for u; do
    u=${u%.service} x=-
    if [ -x "/etc/init.d/$u" ]; then
      x=n
      for f in /etc/rc?.d/S??"$u"; do [ -e "$f" ] && x=e; done
    fi
    s=$s$x
  done
  printf '%s %s\n' "$s" $w
  if [ "$w" = systemd ]; then
    systemctl show --no-pager -p "$P" -- "$@"
  else
    for u; do
      u=${u%.service} l=not-found a=inactive e='' g=0
      f=/etc/init/$u
      if [ "$w" = upstart ] && [ -f "$f.conf" ]; then
        l=loaded e=enabled
        cat "$f.override" "$f.conf" | grep -q '^[[:space:]]*manual' && e=disabled
        o=$(initctl status "$u")
        case $o in *start/*) a=active ;; esac
        case $o in *process\ *) g=${o##*process } g=${g%%[!0-9]*} ;; esac
      elif [ -x "/etc/init.d/$u" ]; then
        l=loaded e=disabled
        for f in /etc/rc?.d/S??"$u"; do [ -e "$f" ] && e=enabled; done
        "/etc/init.d/$u" status >/dev/null </dev/null && a=active
      elif o=$(systemctl is-enabled -- "$u"); [ "$o" ]; then
        l=loaded e=$o
      fi
      printf '%s\n' "Id=$u.service" "LoadState=$l" "ActiveState=$a" "UnitFileState=$e" "MainPID=$g" ''
    done
  fi
  echo '='
}
"#;

/// The probes as one chunk to run: [`script`], with room for all that it may print.
#[must_use]
pub fn chunk(probes: &[Probe]) -> Chunk {
    let contents: u64 = probes
        .iter()
        .map(|probe| match probe {
            Probe::Content { limit, .. } => *limit,
            _ => 0,
        })
        .sum();
    let mut chunk = Chunk::plain(script(probes));
    chunk.keep = (64 << 20) + usize::try_from(contents).unwrap_or(usize::MAX / 2);
    chunk
}

/// One POSIX sh script that answers all these probes; [`super::parse`] reads its output.
///
/// The mark is the kept shell's `mp_n`.
#[must_use]
pub fn script(probes: &[Probe]) -> String {
    let layout = Layout::new(probes);
    let mut text = String::from("exec 2>/dev/null\n");
    if layout.marked() {
        text.push_str("m=${mp_n:-$$}\necho \"$m\"\n");
    }
    paths(&layout, &mut text);
    packages(&layout, &mut text);
    units(&layout, &mut text);
    accounts(&layout, &mut text);
    scripts(&layout, &mut text);
    text.push_str("exit 0\n");
    text
}

fn paths(layout: &Layout, text: &mut String) {
    let questions = || {
        layout
            .batches
            .iter()
            .flat_map(|batch| batch.questions.keys())
    };
    if questions().any(|question| *question != Question::Expand) {
        text.push_str(SELECT);
    }
    if questions().any(|question| *question == Question::Readlink) {
        text.push_str(READLINK);
    }
    if questions().any(|question| *question == Question::Access) {
        text.push_str(ACCESS);
    }
    if questions().any(|question| *question == Question::Real) {
        text.push_str(REAL);
    }
    if questions().any(|question| matches!(question, Question::Content(_))) {
        text.push_str(HEAD);
    }
    for batch in &layout.batches {
        for (at, group) in batch.groups.iter().enumerate() {
            let words: Vec<String> = group
                .iter()
                .map(|path| sh::expanding(path, false))
                .collect();
            let _ = writeln!(text, "p{at}() {{ \"$@\" {}; }}", words.join(" "));
        }
        for (question, groups) in &batch.questions {
            let (setup, command) = match question {
                Question::Expand => (String::new(), "printf '%s\\0'"),
                Question::Stat => (format!("t=E c=\"stat -c '{STAT}'\""), "k"),
                Question::Follow => (format!("t=F c=\"stat -L -c '{STAT}'\""), "k"),
                Question::Readlink => ("t=K c=rl".into(), "k"),
                Question::Access => (String::new(), "a"),
                Question::Real => ("t=K c=re".into(), "k"),
                Question::Flags => ("t=E c='lsattr -vd'".into(), "k"),
                Question::Mime => ("t=E c='file -b --mime-type --mime-encoding'".into(), "k"),
                Question::Digest(algorithm) => (format!("t=R c={algorithm}sum"), "k"),
                Question::Content(limit) => (format!("l={}", limit.saturating_add(1)), "h"),
            };
            if !setup.is_empty() {
                text.push_str(&setup);
                text.push('\n');
            }
            for group in groups {
                let _ = write!(text, "p{group} ");
            }
            text.push_str(command);
            text.push('\n');
        }
    }
}

fn packages(layout: &Layout, text: &mut String) {
    for names in &layout.packages {
        // dpkg is asked for as well: its architecture is the native one.
        let _ = writeln!(
            text,
            "dpkg-query -W -f='${{Package}} ${{Architecture}} ${{Version}} ${{Status}}\\n' dpkg {}\necho \"=$?\"",
            sh::join(names)
        );
        // Which of them apt believes it installed by itself.
        let stems = names
            .iter()
            .map(|name| name.split(':').next().unwrap_or(name));
        let stems: String = stems.map(|name| format!(" -e 'Package: {name}'")).collect();
        let _ = writeln!(
            text,
            "grep -sFx -A3{stems} /var/lib/apt/extended_states\necho '='"
        );
    }
}

fn units(layout: &Layout, text: &mut String) {
    if layout.units.is_empty() && layout.odd_units.is_empty() {
        return;
    }
    let _ = write!(text, "P={PROPERTIES}\n{UNITS}");
    for names in &layout.units {
        let _ = writeln!(text, "v {}", sh::join(names));
    }
    for name in &layout.odd_units {
        let _ = writeln!(text, "v {}", sh::quote(name));
    }
}

fn accounts(layout: &Layout, text: &mut String) {
    if !layout.users.is_empty() || !layout.groups.is_empty() {
        // A host without getent has only its files.
        text.push_str("command -v getent >/dev/null || getent() { cat \"/etc/$1\"; }\n");
    }
    for names in &layout.users {
        let _ = writeln!(text, "u() {{ \"$@\" {}; }}", sh::join(names));
        text.push_str("u getent passwd\necho '='\nu getent shadow\necho '='\n");
        text.push_str("g() { for u; do echo \"$(id -Gn -- \"$u\")\"; done; }\nu g\n");
    }
    for names in &layout.groups {
        let _ = writeln!(text, "getent group {}\necho '='", sh::join(names));
    }
}

fn scripts(layout: &Layout, text: &mut String) {
    if layout.scripts.is_empty() {
        return;
    }
    text.push_str(RUN);
    for script in &layout.scripts {
        let quoted = script.replace('\'', r"'\''");
        let _ = writeln!(text, "r '{quoted}'");
    }
}
