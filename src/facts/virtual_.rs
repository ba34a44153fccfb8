//! Facts about what the host runs on, by Ansible's rules and in their order.

use super::{Facts, Told};
use serde_json::json;
use std::collections::BTreeSet;

/// What was found so far: the first find gives type and role.
#[derive(Default)]
struct Found {
    kind: Option<(String, &'static str)>,
    guest: BTreeSet<String>,
    host: BTreeSet<String>,
}

impl Found {
    fn guest(&mut self, tech: &str) {
        self.guest.insert(tech.into());
        self.kind.get_or_insert_with(|| (tech.into(), "guest"));
    }

    fn host(&mut self, tech: &str) {
        self.host.insert(tech.into());
        self.kind.get_or_insert_with(|| (tech.into(), "host"));
    }
}

pub(super) fn add(told: &Told, facts: &mut Facts) {
    let mut found = Found::default();
    containers(told, &mut found);
    machines(told, &mut found);
    let (kind, role) = found.kind.unwrap_or_else(|| ("NA".into(), "NA"));
    facts.insert("virtualization_type".into(), json!(kind));
    facts.insert("virtualization_role".into(), json!(role));
    facts.insert("virtualization_tech_guest".into(), json!(found.guest));
    facts.insert("virtualization_tech_host".into(), json!(found.host));
}

fn containers(told: &Told, found: &mut Found) {
    let docker = regex::Regex::new(r"/docker(/|-[0-9a-f]+\.scope)").ok();
    for line in told.file("/proc/1/cgroup").unwrap_or_default().lines() {
        if docker.as_ref().is_some_and(|docker| docker.is_match(line)) {
            found.guest("docker");
        }
        if line.contains("/lxc/") || line.contains("/machine.slice/machine-lxc") {
            found.guest("lxc");
        }
        if line.contains("/system.slice/containerd.service") {
            found.guest("containerd");
        }
    }
    for line in told.lines("virtual") {
        match line.strip_prefix("container=") {
            Some("lxc") => found.guest("lxc"),
            Some("podman") => found.guest("podman"),
            _ => {}
        }
        if line.len() > "container=".len() && line.starts_with("container=") {
            found.guest("container");
        }
    }
    let has = |file: &str| told.has("virtual", file);
    if has("/proc/vz") && !has("/proc/lve") {
        if has("/proc/bc") {
            found.host("openvz");
        } else {
            found.guest("openvz");
        }
    }
    let systemd = told.file("/run/systemd/container");
    if let Some(container) = &systemd {
        found.guest(container);
    }
    if has("/.dockerenv") || has("/.dockerinit") {
        found.guest("docker");
    }
    let known = ["docker", "lxc", "podman", "openvz", "containerd"];
    if systemd.is_some() || known.iter().any(|tech| found.guest.contains(*tech)) {
        found.guest.insert("container".into());
    }
    if has("/proc/xen") {
        if told
            .lines("virtual")
            .iter()
            .any(|line| line.contains("control_d"))
        {
            found.host("xen");
        } else {
            found.kind.get_or_insert_with(|| ("xen".into(), "guest"));
        }
    }
}

fn machines(told: &Told, found: &mut Found) {
    let dmi = |file: &str| {
        told.file(&format!("/sys/devices/virtual/dmi/id/{file}"))
            .unwrap_or_default()
    };
    let (product, vendor, family, bios) = (
        dmi("product_name"),
        dmi("sys_vendor"),
        dmi("product_family"),
        dmi("bios_vendor"),
    );
    if [
        "KVM",
        "KVM Server",
        "Bochs",
        "AHV",
        "CloudStack KVM Hypervisor",
    ]
    .contains(&product.as_str())
    {
        found.guest("kvm");
    }
    match vendor.as_str() {
        "oVirt" => found.guest("oVirt"),
        "Red Hat" if family == "RHV" => found.guest("RHV"),
        "Red Hat" if product == "RHEV Hypervisor" => found.guest("RHEV"),
        _ => {}
    }
    if product.starts_with("VMware") {
        found.guest("VMware");
    }
    if ["OpenStack Compute", "OpenStack Nova"].contains(&product.as_str()) {
        found.guest("openstack");
    }
    match bios.as_str() {
        "Xen" => found.guest("xen"),
        "innotek GmbH" => found.guest("virtualbox"),
        "Amazon EC2" | "DigitalOcean" | "Hetzner" | "Linode" => found.guest("kvm"),
        _ => {}
    }
    match vendor.as_str() {
        "QEMU" | "Amazon EC2" | "DigitalOcean" | "Google" | "Scaleway" | "Nutanix" => {
            found.guest("kvm");
        }
        "KubeVirt" => found.guest("KubeVirt"),
        "Microsoft Corporation" => found.guest("VirtualPC"),
        "Parallels Software International Inc." => found.guest("parallels"),
        "OpenStack Foundation" => found.guest("openstack"),
        _ => {}
    }
    for line in told.file_lines("/proc/cpuinfo") {
        if line.starts_with("model name") && line.contains("QEMU Virtual CPU") {
            found.guest("kvm");
        } else if line.contains("User Mode Linux")
            || line.starts_with("model name") && line.contains("UML")
        {
            found.guest("uml");
        } else if line.contains("PowerVM Lx86") {
            found.guest("powervm_lx86");
        } else if line.contains("IBM/S390") {
            found.guest("PR/SM");
        }
    }
    let modules = told.file_lines("/proc/modules");
    let module = |name: &str| {
        modules
            .iter()
            .any(|line| line.split(' ').next() == Some(name))
    };
    if module("kvm") {
        found.host("kvm");
    }
    if module("vboxdrv") {
        found.host("virtualbox");
    }
    if module("virtio") {
        // Ansible files this guest under the host's techniques.
        found.host.insert("kvm".into());
        found.kind.get_or_insert_with(|| ("kvm".into(), "guest"));
    }
    if told.has("virtual", "/dev/kvm") {
        found.host("kvm");
    }
}
