//! Downloads by what every Debian host has: apt's own helper; curl or wget where that is missing.

use super::sh::quote;

/// `mp_fetch URL FILE` in shell.
pub(crate) const FETCH: &str = r#"mp_fetch() {
  rm -f "$2"
  case $1 in
    file://*) cp -- "${1#file://}" "$2"; return ;;
  esac
  if [ -x /usr/lib/apt/apt-helper ]; then
    /usr/lib/apt/apt-helper -o APT::Sandbox::User=root -o Acquire::Retries=2 download-file "$1" "$2" >/dev/null 2>"$MP_TMP/fetch.err" </dev/null && return
    grep -E '^E: ' "$MP_TMP/fetch.err" >&2
  elif command -v curl >/dev/null; then curl -fsSL -o "$2" -- "$1" && return
  else wget -q -O "$2" -- "$1" && return
  fi
  rm -f "$2"; return 1
}
"#;

/// A script that downloads and prints the file, encoded in base64.
pub(crate) fn print(url: &str) -> String {
    format!(
        "{FETCH}mp_fetch {} \"$MP_TMP/fetched\" || {{ cat \"$MP_TMP/fetch.err\"; exit 1; }}\nbase64 \"$MP_TMP/fetched\"; rm -f \"$MP_TMP/fetched\"",
        quote(url)
    )
}
