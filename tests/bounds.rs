//! Input without an end, or of absurd size, is refused with place and cause, in bounded time.

#![allow(clippy::unwrap_used)]

#[path = "common/folder.rs"]
mod folder;

use folder::Folder;

fn run(files: &[(&str, &str)]) -> (i32, String) {
    let folder = Folder::new(files);
    folder.write(
        "inventory.yaml",
        "all: {hosts: {h1: {ansible_connection: local}}}\n",
    );
    folder.run(&["apply", "-p", "play.yml"])
}

#[test]
fn tasks_that_include_themselves() {
    let play = "- {hosts: all, gather_facts: false, tasks: [{include_tasks: self.yml}]}\n";
    let own = "- debug: {msg: x}\n- include_tasks: self.yml\n";
    let (code, text) = run(&[("play.yml", play), ("self.yml", own)]);
    assert_eq!(code, 2, "{text}");
    for part in [
        "`self.yml` is included more than 100 levels deep: it includes itself",
        "self.yml:2:3",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn variables_that_refer_to_each_other() {
    let play = "
- hosts: all
  gather_facts: false
  vars: {a: '{{ b }}', b: '{{ a }}'}
  tasks: [{debug: {msg: '{{ a }}'}}]
";
    let (code, text) = run(&[("play.yml", play)]);
    assert_eq!(code, 2, "{text}");
    assert!(
        text.contains("variable `a` is defined through itself (play.yml:4:"),
        "{text}"
    );
}

#[test]
fn a_hundred_megabytes_of_yaml() {
    let mut play = String::from("- hosts: all\n  tasks:\n");
    play.push_str(&"    - debug: {msg: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}\n".repeat(2_000_000));
    let (code, text) = run(&[("play.yml", &play)]);
    assert_eq!(code, 1);
    for part in [
        "MB, and no more than 32 MB of YAML are read",
        "--> play.yml:1:1",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn two_names_of_one_machine() {
    let folder = Folder::new(&[(
        "play.yml",
        "- {hosts: all, gather_facts: false, tasks: [{command: 'true'}]}\n",
    )]);
    let run = |inventory: &str, more: &[&str]| {
        folder.write("inventory.yaml", inventory);
        folder.run(&[&["apply", "-p", "play.yml"], more].concat())
    };
    let twins = "all:\n  hosts:\n    h1: {ansible_host: 127.0.0.1, ansible_port: 1}\n    h2: {ansible_host: 127.0.0.1, ansible_port: '{{ 0 + 1 }}'}\n    h3:\n";
    let (code, text) = run(twins, &[]);
    assert_eq!(code, 1, "{text}");
    for part in [
        "`h2` and `h1` are two names of one machine (127.0.0.1): both would change it at once",
        "inventory.yaml:4:",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!text.contains("RECAP"), "{text}");
    // One of them alone, other ports, other users, and hosts that are this machine.
    for (inventory, more) in [
        (twins, &["-l", "h1"][..]),
        (
            "all: {hosts: {h1: {ansible_port: 1}, h2: {ansible_port: 2}, h3: {ansible_port: 1, ansible_user: x}}, vars: {ansible_host: 127.0.0.1}}",
            &[],
        ),
    ] {
        let (code, text) = run(inventory, more);
        assert_eq!(code, 4, "{text}");
    }
    let local =
        "all: {hosts: {h1: , h2: }, vars: {ansible_connection: local, ansible_host: 127.0.0.1}}";
    assert_eq!(run(local, &[]).0, 0);
}
