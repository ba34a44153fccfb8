//! What Bamboo knows, and whether HAProxy's configuration carries it.

use serde_json::Value;
use std::collections::BTreeSet;

/// The places an app's tasks run at, `host:port`, of Bamboo's state; `None` when Marathon has no such app.
pub(super) fn tasks(state: &Value, id: &str) -> Option<BTreeSet<String>> {
    let apps = state["Apps"].as_array()?;
    let app = apps.iter().find(|app| app["Id"] == id)?;
    let tasks = app["Tasks"].as_array().into_iter().flatten();
    Some(
        tasks
            .filter_map(|task| {
                let host = task["Host"].as_str()?;
                Some(format!("{host}:{}", task["Port"].as_u64()?))
            })
            .collect(),
    )
}

/// Whether a line says when requests go to an app.
pub(super) fn has_acl(config: &str, acl: &str) -> bool {
    let lines = config.lines().map(str::trim);
    lines
        .filter_map(|line| line.strip_prefix("acl "))
        .any(|line| {
            line.strip_suffix(acl)
                .is_some_and(|name| name.ends_with(' '))
        })
}

/// Whether some section has a `server` line for each of these, and no more.
pub(super) fn has_servers(config: &str, tasks: &BTreeSet<String>) -> bool {
    let mut section: Vec<&str> = Vec::new();
    let same = |section: &[&str]| {
        section.len() == tasks.len() && section.iter().all(|place| tasks.contains(*place))
    };
    for line in config.lines() {
        if line.starts_with(|first: char| !first.is_whitespace() && first != '#') {
            if same(&section) {
                return true;
            }
            section.clear();
        }
        let mut words = line.split_whitespace();
        if words.next() == Some("server") {
            section.extend(words.nth(1));
        }
    }
    same(&section)
}

/// Shell that leaves an app's tasks in `$t`, from the state in a file.
pub(super) const TASKS: &str = r#"tasks() {
t=$(tr '{},[]' '\n\n\n\n\n' <"$1" | I=$2 awk '$0 == "\"Id\":\"" ENVIRON["I"] "\"" { on = 1; next }
/^"Id":"\// { on = 0 }
on && /^"Host":"/ { h = $0; gsub(/^"Host":"|"$/, "", h) }
on && /^"Port":/ { p = $0; sub(/^"Port":/, "", p); print h ":" p }')
}
"#;

/// The same two questions in shell: the configuration in a file, the acl, the tasks.
pub(super) const RENDERED: &str = r#"rendered() {
A=$2 T=$3 awk 'BEGIN { a = " " ENVIRON["A"]; n = split(ENVIRON["T"], w); for (i in w) k[w[i]] = 1 }
{ l = $0; gsub(/^[ \t]+|[ \t]+$/, "", l) }
l ~ /^acl / && substr(l, length(l) - length(a) + 1) == a { acl = 1 }
/^[^ \t#]/ { if (c == n && h == n) servers = 1; c = h = 0 }
$1 == "server" { c++; if ($3 in k) h++ }
END { if (c == n && h == n) servers = 1; exit !(acl && servers) }' "$1"
}
"#;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const CONFIG: &str = "frontend http-in\n    bind *:80\n    acl ::web-aclrule path_beg -i /\n\nbackend ::web-cluster\n    balance leastconn\n\
                          \x20   server a 10.0.0.1:31000 check\n    server b 10.0.0.2:31001\nbackend ::top-cluster\n    server c 10.0.0.1:31002\n";

    fn places(texts: &[&str]) -> BTreeSet<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn tasks_are_those_of_the_app() {
        let state = json!({"Apps": [
            {"Id": "/top", "Tasks": [{"Id": "t", "Host": "h", "Port": 1}]},
            {"Id": "/web", "Tasks": [{"Id": "w", "Host": "h", "Port": 2}]},
        ]});
        assert_eq!(tasks(&state, "/web"), Some(places(&["h:2"])));
        assert_eq!(tasks(&state, "/we"), None);
        assert_eq!(tasks(&Value::Null, "/web"), None);
    }

    #[test]
    fn each_task_has_a_server_and_there_is_no_other() {
        for (acl, tasks, carried) in [
            (
                "path_beg -i /",
                &["10.0.0.1:31000", "10.0.0.2:31001"][..],
                true,
            ),
            ("path_beg -i /", &["10.0.0.1:31002"], true),
            ("path_beg -i /", &["10.0.0.1:31000"], false),
            (
                "path_beg -i /",
                &["10.0.0.1:31000", "10.0.0.2:31001", "10.0.0.3:31000"],
                false,
            ),
            ("path_beg -i /", &[], true),
            ("path_beg -i", &["10.0.0.1:31002"], false),
            ("-i /x", &["10.0.0.1:31002"], false),
        ] {
            let set = places(tasks);
            assert_eq!(
                has_acl(CONFIG, acl) && has_servers(CONFIG, &set),
                carried,
                "{acl} {tasks:?}"
            );
            // In shell too.
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("cfg");
            std::fs::write(&file, CONFIG).unwrap();
            let said = std::process::Command::new("sh")
                .args(["-c", &format!("{RENDERED}rendered \"$@\""), "sh"])
                .arg(&file)
                .args([acl, &tasks.join("\n")])
                .status();
            assert_eq!(
                said.unwrap().success(),
                carried,
                "in shell: {acl} {tasks:?}"
            );
        }
    }

    #[test]
    fn the_shell_finds_the_same_tasks() {
        let state = r#"raw 0 9 0 http://h/
{"Apps":[{"Id":"/top","Tasks":[{"Id":"top.1","Host":"h","Port":1,"Ports":[1]}]},{"Id":"/web","EscapedId":"::web","Tasks":[{"Id":"web.1","Host":"10.0.0.1","Port":31000,"Ports":[31000],"Alive":true},{"Id":"web.2","Host":"10.0.0.2","Port":31001,"Ports":[31001,2]}],"Env":{"X":"{\"Host\":\"no\"}"}},{"Id":"/z","Tasks":[{"Host":"h","Port":9}]}]}"#;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("state");
        std::fs::write(&file, state).unwrap();
        let said = std::process::Command::new("sh")
            .args(["-c", &format!("{TASKS}tasks \"$@\"; echo \"$t\""), "sh"])
            .arg(&file)
            .arg("/web")
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8_lossy(&said.stdout),
            "10.0.0.1:31000\n10.0.0.2:31001\n"
        );
    }
}
