//! The shell that looks into archives, compares them with a folder and unpacks them.

use crate::modules::sh;

/// What is asked of the tools.
#[derive(Debug, Clone, Default)]
pub(super) struct Options {
    pub(super) owner: Option<String>,
    pub(super) group: Option<String>,
    /// Whether a mode is asked for: then the archive's own do not count.
    pub(super) mode: bool,
    pub(super) keep_newer: bool,
    pub(super) exclude: Vec<String>,
    pub(super) include: Vec<String>,
    pub(super) extra: Vec<String>,
}

/// Tells the kind of `$s` by its first bytes: `$h` is Ansible's name for it, `$z` what tar must be told.
const KIND: &str = r#"[ -s "$s" ] || { echo "!msg Invalid archive '$s', the file is 0 bytes" >&2; exit 1; }
case $(head -c 6 -- "$s" | od -An -tx1 | tr -d ' \n') in
  504b0304* | 504b0506* | 504b0708*) h=ZipArchive z='' ;;
  1f8b*) h=TgzArchive z=-z ;;
  425a68*) h=TarBzipArchive z=-j ;;
  fd377a585a00*) h=TarXzArchive z=-J ;;
  28b52ffd*) h=TarZstdArchive z=--use-compress-program=zstd ;;
  *) h=TarArchive z='' ;;
esac
unusable() {
  echo "!msg Failed to find handler for \"$s\". Make sure the required command to extract the file is installed." >&2
  exit 1
}
if [ $h = ZipArchive ]; then command -v unzip >/dev/null || unusable; fi
"#;

/// Compares what `unzip` makes of an archive with what is there.
const ZIP_DIFFERS: &str = r#"zip_differs() {
  rm -rf -- "$MP_TMP/unzipped"
  unpack_zip "$MP_TMP/unzipped" >/dev/null || { rm -rf -- "$MP_TMP/unzipped"; return 0; }
  (cd "$MP_TMP/unzipped" && find . -mindepth 1 -exec sh -c '
    d=$1 m=$2; shift 2
    for f; do
      if [ -L "$f" ]; then [ "$(readlink -- "$f")" = "$(readlink -- "$d/$f")" ] || echo "$f"
      elif [ -d "$f" ]; then [ -d "$d/$f" ] || echo "$f"
      elif [ ! -f "$d/$f" ] || ! cmp -s -- "$f" "$d/$f"; then echo "$f"
      elif [ "$(stat -c "$m" -- "$f")" != "$(stat -c "$m" -- "$d/$f")" ]; then echo "$f"
      fi
    done' sh "$d" "$m" {} +) | grep -q .
  r=$?
  rm -rf -- "$MP_TMP/unzipped"
  return $r
}
"#;

/// Refuses archives that name something outside of the folder, or lead there through a symbolic link that is in it already.
/// What tar and unzip refuse by themselves they refuse after the first files are written.
const INSIDE: &str = r#"outside() {
  rm -f "$MP_TMP/names"
  echo "!msg The archive leads outside of '$d': $1" >&2
  exit 1
}
inside() {
  o=$(grep -E '(^|/)\.\.(/|$)' "$MP_TMP/names" | head -n 1)
  [ -z "$o" ] || outside "$o"
  r=$(readlink -f -- "$d") && [ -d "$r" ] && [ "$r" != / ] || return 0
  o=$(sed -n 's|^/*|./|; :a; s|/[^/]*/*$||; t p; d; :p; p; b a' "$MP_TMP/names" | sort -u | tr '\n' '\0' |
    (cd "$d" && xargs -0 -r readlink -f --) |
    while IFS= read -r f; do case $f/ in "$r"/*) ;; *) printf '%s\n' "$f"; break ;; esac; done)
  [ -z "$o" ] || outside "$o"
}
"#;

impl Options {
    /// Functions `names`, `differs` and `unpack` for the archive `$s` and the folder `$d`.
    pub(super) fn functions(&self) -> String {
        let mut tar = String::new();
        let mut push = |word: &str| {
            tar.push(' ');
            tar.push_str(&sh::quote(word));
        };
        if !self.extra.is_empty() {
            push("--show-transformed-names");
            self.extra.iter().for_each(|option| push(option));
        }
        for (name, value) in [("owner", &self.owner), ("group", &self.group)] {
            if let Some(value) = value {
                push(&format!("--{name}={value}"));
            }
        }
        if self.keep_newer {
            push("--keep-newer-files");
        }
        for name in &self.exclude {
            push(&format!("--exclude={name}"));
        }
        let include = sh::join(&self.include);
        let exclude = if self.exclude.is_empty() {
            String::new()
        } else {
            format!(" -x {}", sh::join(&self.exclude))
        };
        let extra = sh::join(&self.extra);
        // What is asked for is set afterwards, so the archive's own does not count then.
        let mut signs = vec![
            ": Mod time differs$",
            ": Warning: Cannot stat: No such file or directory$",
            ": Invalid owner",
            ": Invalid group",
            ": Symlink differs$",
            ": Contents differ$",
            ": Size differs$",
            ": File type differs$",
        ];
        if !self.mode {
            signs.push(": Mode differs$");
        }
        let mut root = Vec::new();
        for (given, sign) in [
            (&self.owner, ": Uid differs$"),
            (&self.group, ": Gid differs$"),
        ] {
            if given.is_none() {
                root.push(sign);
            }
        }
        let root = if root.is_empty() {
            String::new()
        } else {
            format!("|{}", root.join("|"))
        };
        let update = if self.keep_newer { "u" } else { "o" };
        let stat = if self.mode { "%Y" } else { "%Y %a" };
        format!(
            "{KIND}{INSIDE}m='{stat}'\n\
             names() {{\nif [ $h = ZipArchive ]; then unzip -Z1 \"$s\" {include}{exclude}\n\
             else tar --list $z{tar} --quoting-style=literal -f \"$s\" {include}; fi\n}}\n\
             unpack_zip() {{ mkdir -p -- \"$1\" && unzip -q{update} {extra} \"$s\" {include}{exclude} -d \"$1\"; }}\n{ZIP_DIFFERS}\
             differs() {{\nif [ $h = ZipArchive ]; then zip_differs; return; fi\n\
             g='{signs}'\n[ \"$(id -u)\" != 0 ] || g=\"$g{root}\"\n\
             tar --diff -C \"$d\" $z{tar} -f \"$s\" {include} 2>&1 | grep -v ': : Warning: Cannot stat' | grep -Eq \"$g\"\n}}\n\
             unpack() {{\nif [ $h = ZipArchive ]; then unpack_zip \"$d\"\n\
             else tar --extract -C \"$d\" $z{tar} -f \"$s\" {include}; fi\n}}\n\
             list() {{ names >\"$MP_TMP/names\" 2>\"$MP_TMP/why\" || {{ cat \"$MP_TMP/why\" >&2; rm -f \"$MP_TMP/names\" \"$MP_TMP/why\"; unusable; }}; rm -f \"$MP_TMP/why\"; inside; }}\n\
             each() {{ {{ cat \"$MP_TMP/names\"; sed -n 's|^/*\\([^/]*\\)/.*|\\1|p' \"$MP_TMP/names\" | sort -u; }} | sed 's|^/*|./|' | tr '\\n' '\\0' | (cd \"$d\" && xargs -0 \"$@\"); }}\n",
            signs = signs.join("|"),
        )
    }
}
