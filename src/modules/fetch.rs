//! Downloads by what every Debian host has: apt's own helper; curl or wget where that is missing.

use super::http::Request;

/// Shell that downloads into `file`, a word of shell, and fails with the tool's words on standard error.
pub(crate) fn to(url: &str, file: &str) -> String {
    let Ok(request) = Request::plain(url, true) else {
        return "{ echo 'this is not a URL' >&2; false; }".into();
    };
    // Only HTTP has a status of its own for "here it is".
    let arrived = if url.starts_with("http") {
        "[ \"$s\" = 200 ]"
    } else {
        ":"
    };
    format!(
        "{}mp_get() {{\nget \"$1\" && {{ {arrived} || {{ echo \"the server answers with status $s\" >\"$MP_TMP/err\"; false; }}; }} && \
         {{ rm -f \"$MP_TMP/err\"; return; }}\n\
         grep '^E: ' \"$MP_TMP/err\" >&2 || cat \"$MP_TMP/err\" >&2\nrm -f -- \"$1\" \"$MP_TMP/err\"; return 1\n}}\nmp_get {file}",
        request.apt_getter()
    )
}

/// A script that downloads and prints the file, encoded in base64; the tool's words when that fails.
pub(crate) fn print(url: &str) -> String {
    format!(
        "{} 2>&1 || exit\nbase64 \"$MP_TMP/fetched\"; rm -f \"$MP_TMP/fetched\"",
        to(url, "\"$MP_TMP/fetched\"")
    )
}
