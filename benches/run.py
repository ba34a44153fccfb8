#!/usr/bin/env python3
"""Workload A on lab hosts: mini-play beside the floor, ansible-core and pyinfra, paired in one run. See `make bench`.

    benches/run.py LAB MINI_PLAY FLOOR VENV [ROUNDS [SLOW]]

LAB is a running lab; VENV has the peers. ROUNDS no-change runs of each tool, SLOW of ansible-core, which takes minutes; 0 leaves
it out.
Writes benches/RESULTS.md.
"""

import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
A = HERE / "a"


class Hosts:
    """The lab's hosts and how to reach them."""

    def __init__(self, lab):
        self.dir = Path("/var/lib/mini-play/labs") / lab
        self.inventory = self.dir / "inventory.yaml"
        self.key = self.dir / "key"
        self.addresses = {}
        name = None
        for line in self.inventory.read_text().splitlines():
            if line.startswith("    ") and line.endswith(":") and not line.startswith("     "):
                name = line.strip(" :")
            elif "ansible_host:" in line:
                self.addresses[name] = line.split()[-1]
        self.bridge = f"mp-{lab}"

    def bytes(self):
        """What all hosts sent and got so far, headers included."""
        at = Path("/sys/class/net") / self.bridge / "statistics"
        return [int((at / name).read_text()) for name in ("tx_bytes", "rx_bytes")]

    def forget(self):
        """Takes everything away that workload A makes."""
        for name in self.addresses:
            subprocess.run(
                ["ssh", "-F", self.dir / "ssh_config", name, "rm -rf /opt/bench"],
                check=True, stdin=subprocess.DEVNULL,
            )


def run(command, env=None, cwd=None):
    """Runs a command: seconds, CPU seconds and peak memory of it and its children, its output."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start = time.monotonic()
        child = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=out, stderr=err,
            env={**os.environ, **(env or {})}, cwd=cwd,
        )
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.monotonic() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        text = out.read().decode(errors="replace")
        if child.returncode != 0:
            sys.exit(f"{shlex.join(map(str, command))} failed\n{text}\n{err.read().decode(errors='replace')}")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, text


class Tool:
    def __init__(self, name, command, env=None, changes=True):
        self.name, self.command, self.env, self.changes = name, command, env, changes
        self.first = None
        self.again = []
        self.turns = None

    def measure(self, hosts):
        before = hosts.bytes()
        seconds, cpu, memory, text = run(self.command, self.env, A)
        down = [b - a for a, b in zip(before, hosts.bytes())]
        if self.name == "mini-play":
            end = next(e for e in map(json.loads, text.splitlines()) if e["event"] == "run_end")
            self.turns = max(h["turns"] for h in end["hosts"])
            self.changed = sum(h["changed"] for h in end["hosts"])
        return seconds, cpu, memory, down[0], down[1]


def version(command):
    out = subprocess.run(command, capture_output=True, text=True, check=False)
    return (out.stdout + out.stderr).splitlines()[0].strip()


def main():
    lab, mini_play, floor, venv = sys.argv[1:5]
    rounds = int(sys.argv[5]) if len(sys.argv) > 5 else 5
    slow = int(sys.argv[6]) if len(sys.argv) > 6 else rounds
    hosts = Hosts(lab)
    work = Path(tempfile.mkdtemp(prefix="bench."))
    venv = Path(venv)
    apply = [mini_play, "apply", "--output", "json", "--playbook"]
    state = {"MINI_PLAY_STATE": str(work / "state")}
    ansible = {
        "ANSIBLE_PIPELINING": "True", "ANSIBLE_FORKS": "10", "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_HOME": str(work / "ansible"), "ANSIBLE_LOCALHOST_WARNING": "False",
        "PATH": f"{venv / 'bin'}:{os.environ['PATH']}",
    }
    inventory = work / "hosts.py"
    inventory.write_text("hosts = " + repr([
        (name, {
            "ssh_hostname": address, "ssh_user": "root", "ssh_key": str(hosts.key),
            "ssh_known_hosts_file": str(hosts.dir / "known_hosts"),
        })
        for name, address in hosts.addresses.items()
    ]) + "\n")
    run([*apply, A / "prepare.yml", hosts.inventory], state)
    tools = [
        Tool("floor", [floor, A / "floor.sh", hosts.key, "root",
                       *(f"{a}:22" for a in hosts.addresses.values())], changes=False),
        Tool("mini-play", [*apply, A / "play.yml", hosts.inventory], state),
        Tool("pyinfra", [venv / "bin/pyinfra", "-y", inventory, A / "deploy.py"]),
        Tool("ansible-core", [venv / "bin/ansible-playbook", "-i", hosts.inventory, A / "play.yml"], ansible),
    ]
    if slow == 0:
        tools.pop()
    for tool in tools:
        if tool.changes:
            hosts.forget()
            tool.first = tool.measure(hosts)
            print(tool.name, "first", tool.first, tool.turns, flush=True)
            tool.first_turns = tool.turns
    # All of them make the same files, so each finds in place what it wants.
    for number in range(rounds):
        for tool in tools:
            if tool.name == "ansible-core" and number >= slow:
                continue
            tool.again.append(tool.measure(hosts))
            print(number, tool.name, tool.again[-1], flush=True)
            if tool.name == "mini-play" and tool.changed:
                sys.exit(f"mini-play changed {tool.changed} things where nothing was to be done")
    write(tools, hosts, rounds, slow, mini_play, venv)


def write(tools, hosts, rounds, slow, mini_play, venv):
    middle = {t.name: [statistics.median(column) for column in zip(*t.again)] for t in tools}
    count = len(hosts.addresses)
    lines = [
        "# Results", "",
        f"Written by `make bench`. {time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores "
        f"({platform.machine()}, Linux {platform.release().split('-')[0]}) that carry the controller and all hosts; "
        f"load before the first run and at the end: {LOAD:.1f} and {os.getloadavg()[0]:.1f}.",
        f"{version([mini_play, '--version'])}; {version([venv / 'bin/ansible', '--version'])}; "
        f"{version([venv / 'bin/pyinfra', '--version'])}; {version(['ssh', '-V'])}.", "",
        f"## Workload A: {count} hosts, facts and 44 tasks", "",
        f"No change: medians of {rounds} runs{', of ansible-core ' + str(slow) if slow else ''}, all tools in turn. First apply: one run. Bytes are those on the bridge, with all headers; "
        "CPU and memory are the controller's process and the children it waited for, memory that of the largest.", "",
        "| | no change | over the floor | first apply | turns (first) | kB up, down a host | CPU s | CPU ms a host | peak MB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for tool in tools:
        seconds, cpu, memory, up, down = middle[tool.name]
        first = f"{tool.first[0]:.2f} s" if tool.first else ""
        turns = f"{tool.turns} ({tool.first_turns})" if tool.turns else ""
        lines.append(
            f"| {tool.name} | {seconds:.2f} s | {seconds / middle['floor'][0]:.2f} | {first} | {turns} "
            f"| {up / count / 1000:.0f}, {down / count / 1000:.0f} | {cpu:.2f} | {cpu * 1000 / count:.0f} | {memory:.0f} |"
        )
    ours = middle["mini-play"][0]
    own = next(t for t in tools if t.name == "mini-play")
    peers = [t for t in tools if t.changes and t is not own]
    lines += ["", "| | goal | seen |", "|---|---|---|",
              f"| no change over the floor | at most 1.3 | {ours / middle['floor'][0]:.2f} |"]
    goals = {"ansible-core": (200, 100), "pyinfra": (10, 5)}
    for peer in peers:
        again, first = goals[peer.name]
        lines.append(f"| no change, faster than {peer.name} | {again} x | {middle[peer.name][0] / ours:.1f} x |")
        lines.append(f"| first apply, faster than {peer.name} | {first} x | {peer.first[0] / own.first[0]:.1f} x |")
    lines.append(f"| controller CPU a host | at most 10 ms | {middle['mini-play'][1] * 1000 / count:.0f} ms |")
    lines += ["", NOT_MEASURED + ("" if slow else " Ansible-core was left out of this run.")]
    (HERE / "RESULTS.md").write_text("\n".join(lines) + "\n")


NOT_MEASURED = """\
## Not measured
Mitogen; workloads B (450 tasks), C (the bundled stack) and D (one 200 MB file); a line with 50 ms; 100 hosts; plots.
The packages of workload A are there from the beginning, so a first apply here is directories, files, lines and commands; it was measured once."""

LOAD = os.getloadavg()[0]

if __name__ == "__main__":
    main()
