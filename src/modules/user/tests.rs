//! `user` decided on data.

use super::*;
use crate::modules::probe::Answer;
use crate::modules::testing::{Fake, plan, scripts};
use minijinja::Value;

fn decide(args: &[(&str, Value)], exists: bool, about: &str) -> Vec<String> {
    let mut given = vec![("name", Value::from("u"))];
    given.extend_from_slice(args);
    let step = plan(&User, &given, &Fake::default());
    let mut seen = Seen::default();
    for probe in step.probes() {
        let answer = match &probe {
            Probe::User(_) => Answer::User(exists.then(|| {
                UserState {
                    name: "u".into(),
                    uid: 1000,
                    gid: 1000,
                    comment: "U".into(),
                    home: "/home/u".into(),
                    shell: "/bin/sh".into(),
                    groups: vec!["u".into(), "adm".into()],
                    password: Some("!$6$old".into()),
                    shadow: ["19000", "0", "99999", "7", "", ""]
                        .map(str::to_owned)
                        .to_vec(),
                }
            })),
            _ => Answer::Script {
                rc: 0,
                stdout: format!("group u:x:1000:\n{about}").as_bytes().into(),
                stderr: [].into(),
            },
        };
        seen.insert(probe, answer);
    }
    scripts(&step.decide(&seen))
        .iter()
        .map(|script| script.replace("PATH=$PATH:/usr/sbin:/sbin ", ""))
        .collect()
}

const HERE: &str = "home\nmember adm:x:4:u\ngroup adm:x:4:u\ngroup sudo:x:27:\n";

fn list(items: &[&str]) -> Value {
    items.iter().map(|item| Value::from(*item)).collect()
}

#[test]
fn accounts_are_made() {
    assert_eq!(decide(&[], false, ""), ["useradd -m -N u"]);
    let made = decide(
        &[
            ("uid", 5.into()),
            ("group", "sudo".into()),
            ("groups", "adm,sudo".into()),
            ("comment", "A B".into()),
            ("home", "/srv/x/u".into()),
            ("shell", "/bin/bash".into()),
            ("system", true.into()),
            ("expires", 86_400.into()),
            ("password", "$6$x".into()),
        ],
        false,
        HERE,
    );
    assert_eq!(
        made,
        [
            "mkdir -p -- /srv/x || exit\nuseradd -u 5 -g sudo -G adm -c 'A B' -d /srv/x/u -s /bin/bash -e 1970-01-02 -m -r u",
            "chpasswd -e",
        ]
    );
    assert_eq!(
        decide(&[("create_home", false.into())], false, ""),
        ["useradd -M -N u"]
    );
}

#[test]
fn accounts_are_changed_only_where_they_differ() {
    let same = [
        ("uid", 1000.into()),
        ("comment", "U".into()),
        ("shell", "/bin/sh".into()),
        ("groups", list(&["adm"])),
        ("password_expire_max", 99_999.into()),
        ("expires", (-1).into()),
        ("password", "$6$old".into()),
    ];
    assert_eq!(decide(&same, true, HERE), ["done: "]);
    for (args, expected) in [
        (vec![("groups", list(&["sudo"]))], "usermod -G sudo u"),
        (
            vec![("groups", list(&["sudo"])), ("append", true.into())],
            "usermod -a -G sudo u",
        ),
        (
            vec![("groups", list(&["adm"])), ("append", true.into())],
            "done: ",
        ),
        (vec![("groups", list(&[]))], "usermod -G '' u"),
        (
            vec![("home", "/x".into()), ("move_home", true.into())],
            "usermod -d /x -m u",
        ),
        (vec![("password", "$6$new".into())], "chpasswd -e"),
        (
            vec![
                ("password", "$6$new".into()),
                ("update_password", "on_create".into()),
            ],
            "done: ",
        ),
        (vec![("password_lock", false.into())], "usermod -U u"),
        (vec![("password_lock", true.into())], "done: "),
        (vec![("expires", 86_400.into())], "usermod -e 1970-01-02 u"),
        (vec![("password_expire_min", 1.into())], "chage -m 1 u"),
        (vec![("group", "sudo".into())], "usermod -g 27 u"),
        (
            vec![("groups", list(&["nope"]))],
            "done: Group nope does not exist",
        ),
        (
            vec![("state", "absent".into()), ("remove", true.into())],
            "userdel -r u",
        ),
    ] {
        assert_eq!(decide(&args, true, HERE), [expected], "{args:?}");
    }
    assert!(decide(&[], true, "")[0].starts_with("mkdir -p -- /home/u"));
}

#[test]
fn a_hash_is_told_from_a_password() {
    assert!(looks_plain("secret"));
    assert!(looks_plain("$6$salt$short"));
    assert!(!looks_plain(&format!("$6$salt${}", "a".repeat(86))));
    assert!(!looks_plain("!"));
}

#[test]
fn keys_are_generated_once() {
    let key = ("generate_ssh_key", Value::from(true));
    let made = decide(std::slice::from_ref(&key), true, HERE);
    assert!(
        made[0].contains("ssh-keygen -q -t rsa -C \"ansible-generated on"),
        "{made:?}"
    );
    let there = format!("{HERE}file /home/u/.ssh/id_rsa\nkey\npublic ssh-rsa AAA\n");
    assert_eq!(decide(&[key], true, &there), ["done: "]);
}
