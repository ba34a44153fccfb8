//! A cluster: an ensemble of three, two Marathons, two slaves.

use crate::apps;
use crate::stack::{Stack, wanted};

const CLUSTER: &str = "
all:
  children:
    zookeeper: {hosts: {node1: , node2: , node3: }}
    mesos_masters: {children: {zookeeper: }}
    marathon: {hosts: {node1: , node2: }}
    mesos_slaves: {hosts: {node4: , node5: }}
    docker: {children: {mesos_slaves: }}
    haproxy: {hosts: {node1: }}
    bamboo: {hosts: {node1: }}
";

#[test]
fn a_cluster_comes_up_with_a_real_ensemble() {
    if !wanted() {
        return;
    }
    let stack = Stack::new("e2e-cluster", "bookworm", 5, CLUSTER);
    stack.offer_image();
    stack.apply();
    stack.well();
    let modes: Vec<String> = ["node1", "node2", "node3"]
        .iter()
        .map(|host| {
            let script = "exec 3<>/dev/tcp/$(hostname -I | cut -d' ' -f1)/2181; printf srvr >&3; sed -n 's/^Mode: //p' <&3";
            stack.on(host, &format!("bash -c '{}'", script.replace('\'', "'\\''")))
        })
        .collect();
    let count = |mode: &str| modes.iter().filter(|m| *m == mode).count();
    assert_eq!((count("leader"), count("follower")), (1, 2), "{modes:?}");
    let again = stack.apply();
    for host in ["node1", "node2", "node3", "node4", "node5"] {
        assert_eq!(again.figure(host, "changed"), 0, "{again}");
    }
    // Each unit only where it belongs.
    assert_eq!(
        stack.on("node4", "systemctl is-enabled mesos-master || :"),
        "disabled"
    );
    let slaves = stack.on("node1", "systemctl is-active mesos-slave mesos-agent || :");
    assert!(slaves.lines().all(|state| state != "active"), "{slaves}");
    apps::live_on(&stack);
}
