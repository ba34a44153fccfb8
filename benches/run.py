#!/usr/bin/env python3
"""mini-play beside the floor and other tools on the hosts of a lab, paired in one run. See `make bench`.

    benches/run.py [--only A,B,D,line,endpoints,growth] [--rounds N] [--slow N] LAB MINI_PLAY FLOOR VENV

LAB is a running lab; VENV has the peers. Writes benches/RESULTS.md and prints each goal as met or missed. A section that
fails is told at the end and does not take the others with it. Ansible-core takes minutes a run: --slow says how often.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

import endpoints
from tools import HERE, Cost, Hosts, Tool, paired, table

LOAD = os.getloadavg()[0]


class Bench:
    def __init__(self, args):
        self.args = args
        self.hosts = Hosts(args.lab)
        self.count = len(self.hosts.addresses)
        self.work = Path(tempfile.mkdtemp(prefix="bench."))
        self.venv = Path(args.venv).absolute()
        self.mini_play = Path(args.mini_play).absolute()
        self.floor = Path(args.floor).absolute()
        self.state = {"MINI_PLAY_STATE": str(self.work / "state")}
        self.goals, self.text, self.missing = [], [], []

    def goal(self, what, wanted, seen, met):
        self.goals.append((what, wanted, seen, "met" if met else "**missed**"))

    def faster(self, what, own, peer, wanted):
        if own and peer:
            self.goal(what, f"at least {wanted} x", f"{peer / own:.1f} x", peer / own >= wanted)

    def apply(self, playbook, inventory=None, *more):
        return [self.mini_play, "apply", "--output", "json", *more, "--playbook", playbook, inventory or self.hosts.inventory]

    def ansible(self, playbook, mitogen=False):
        env = {
            "ANSIBLE_PIPELINING": "True", "ANSIBLE_FORKS": "10", "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_HOME": str(self.work / "ansible"), "ANSIBLE_LOCALHOST_WARNING": "False",
            "PATH": f"{self.venv / 'bin'}:{os.environ['PATH']}",
        }
        if mitogen:
            plugins = next(self.venv.glob("lib/python*/site-packages/ansible_mitogen/plugins/strategy"))
            env |= {"ANSIBLE_STRATEGY_PLUGINS": str(plugins), "ANSIBLE_STRATEGY": "mitogen_linear"}
        command = [self.venv / "bin/ansible-playbook", "-i", self.hosts.inventory, playbook]
        return Tool("mitogen" if mitogen else "ansible-core", command, env, cwd=HERE / "a", runs=self.args.slow)

    def prepare(self):
        Cost(self.apply(HERE / "a/prepare.yml"), self.state)

    def A(self):
        """Workload A: facts and 44 tasks."""
        a = HERE / "a"
        self.prepare()
        tools = [
            Tool("floor", [self.floor, a / "floor.sh", self.hosts.key, "root", *(f"{x}:22" for x in self.hosts.addresses.values())]),
            Tool("mini-play", self.apply(a / "play.yml"), self.state),
            Tool("pyinfra", [self.venv / "bin/pyinfra", "-y", self.hosts.pyinfra(self.work / "hosts.py"), a / "deploy.py"], cwd=a),
        ]
        if self.args.slow:
            tools += [self.ansible(a / "play.yml"), self.ansible(a / "play.yml", mitogen=True)]
        tools, left = paired(tools, self.args.rounds, self.hosts, lambda: self.hosts.do("rm -rf /opt/bench"))
        own = {tool.name: tool for tool in tools}
        floor, mine = own["floor"].median(), own["mini-play"]
        rows = []
        for tool in tools:
            first = f"{tool.median(first=True):.2f} s" if tool.first else ""
            turns = f"{tool.turns} ({tool.first_turns})" if tool.turns else ""
            cpu = tool.median("cpu")
            rows.append((
                tool.name, f"{tool.median():.2f} s", f"{tool.median() / floor:.2f}", first, turns,
                f"{tool.median('up') / self.count / 1000:.0f}, {tool.median('down') / self.count / 1000:.0f}",
                f"{cpu:.2f}", f"{cpu * 1000 / self.count:.0f}", f"{tool.median('memory'):.0f}", len(tool.again),
            ))
        self.a = mine.median()
        self.goal("A, no change, over the floor", "at most 1.3", f"{mine.median() / floor:.2f}", mine.median() <= 1.3 * floor)
        for name, again, first in (("ansible-core", 200, 100), ("mitogen", 60, None), ("pyinfra", 10, 5)):
            if peer := own.get(name):
                self.faster(f"A, no change, faster than {name}", mine.median(), peer.median(), again)
                if first:
                    self.faster(f"A, first apply, faster than {name}", mine.median(first=True), peer.median(first=True), first)
        each = mine.median("cpu") * 1000 / self.count
        self.goal("A, controller CPU a host", "at most 10 ms", f"{each:.0f} ms", each <= 10)
        if left:
            self.missing.append(f"A: {', '.join(left)} did not run to the end")
        if not self.args.slow:
            self.missing.append("A: ansible-core and Mitogen were left out of this run")
        return table(("", "no change", "over the floor", "first apply", "turns (first)", "kB up, down a host", "CPU s", "CPU ms a host", "peak MB", "runs"), rows)

    def B(self):
        """Workload B: facts and 450 tasks."""
        if not hasattr(self, "a"):
            self.prepare()
            Cost(self.apply(HERE / "a/play.yml"), self.state)
        tools = [Tool("mini-play", self.apply(HERE / "b/play.yml"), self.state)]
        paired(tools, self.args.rounds, self.hosts, lambda: self.hosts.do("rm -rf /opt/bench-b"))
        small = Tool("mini-play", self.apply(HERE / "a/play.yml"), self.state)
        paired([small], self.args.rounds, self.hosts, None)
        mine = tools[0]
        ratio = mine.median() / small.median()
        self.goal("B over A, no change", "at most 2", f"{ratio:.2f}", ratio <= 2)
        return table(("", "no change", "first apply", "turns (first)", "kB up, down a host", "CPU s", "peak MB"), [(
            "mini-play", f"{mine.median():.2f} s", f"{mine.median(first=True):.2f} s", f"{mine.turns} ({mine.first_turns})",
            f"{mine.median('up') / self.count / 1000:.0f}, {mine.median('down') / self.count / 1000:.0f}",
            f"{mine.median('cpu'):.2f}", f"{mine.median('memory'):.0f}",
        )])

    def D(self):
        """Workload D: one file of 200 MB to one host, scp beside it."""
        name = next(iter(self.hosts.addresses))
        rows, rates = [], {}
        for size in (20, 200):
            path = self.work / f"file{size}"
            path.write_bytes(os.urandom(size << 20))
            play = self.work / f"d{size}.yml"
            play.write_text(
                f"- hosts: {name}\n  gather_facts: false\n  tasks:\n"
                f"    - ansible.builtin.copy: {{src: {path}, dest: /opt/bench-d, mode: '0644'}}\n"
            )
            tools = [Tool("scp", ["scp", "-q", *self.hosts.ssh, path, f"{name}:/opt/bench-d"]), Tool("mini-play", self.apply(play), self.state)]
            for _ in range(self.args.rounds if size == 200 else 1):
                for tool in tools:
                    self.hosts.do("rm -f /opt/bench-d; sync", name)
                    tool.again.append(tool.measure())
                    print(f"{size} MB {tool.name}: {tool.again[-1].seconds:.2f} s", flush=True)
            for tool in tools:
                rates[tool.name, size] = (size / tool.median(), tool.median("memory"))
                rows.append((tool.name, f"{size} MB", f"{tool.median():.2f} s", f"{size / tool.median():.0f} MB/s", f"{tool.median('memory'):.0f}"))
            path.unlink()
        self.hosts.do("rm -f /opt/bench-d", name)
        share = rates["mini-play", 200][0] / rates["scp", 200][0]
        more = rates["mini-play", 200][1] - rates["mini-play", 20][1]
        self.goal("D, of scp's rate", "at least 80 %", f"{share * 100:.0f} %", share >= 0.8)
        self.goal("D, more memory for 200 MB than for 20 MB", "none (under 4 MB)", f"{more:.0f} MB", more < 4)
        return table(("", "file", "time", "rate", "peak MB"), rows)

    def line(self):
        """Workload A on one host through a line with a round trip of 50 ms."""
        name, address = next(iter(self.hosts.addresses.items()))
        if not hasattr(self, "a"):
            self.prepare()
            Cost(self.apply(HERE / "a/play.yml"), self.state)
        delay = subprocess.Popen([sys.executable, HERE / "delay.py", address, "22", "25"], stdout=subprocess.PIPE, text=True)
        try:
            port = int(delay.stdout.readline())
            slow = self.work / "slow.yaml"
            slow.write_text(
                f"all:\n  hosts:\n    {name}: {{ansible_host: 127.0.0.1, ansible_port: {port}, ansible_user: root, "
                f"ansible_ssh_private_key_file: {self.hosts.key}, ansible_host_key_checking: false}}\n"
            )
            peer = self.hosts.pyinfra(self.work / "slow.py", {name: "127.0.0.1"}, port)
            tools = [
                Tool("mini-play", self.apply(HERE / "a/play.yml", slow), self.state),
                Tool("pyinfra", [self.venv / "bin/pyinfra", "-y", peer, HERE / "a/deploy.py"], cwd=HERE / "a"),
            ]
            tools, left = paired(tools, self.args.rounds, None, None)
        finally:
            delay.kill()
            delay.wait()
        own = {tool.name: tool.median() for tool in tools}
        self.goal("A, 1 host, 50 ms", "at most 1.0 s", f"{own['mini-play']:.2f} s", own["mini-play"] <= 1)
        self.faster("A, 1 host, 50 ms, faster than pyinfra", own["mini-play"], own.get("pyinfra"), 5)
        self.missing += [f"line: {name} did not run to the end" for name in left]
        return table(("", "no change", "turns"), [(t.name, f"{t.median():.2f} s", t.turns or "") for t in tools])

    def endpoints(self):
        """1,000 endpoints: one sshd, every address of 127.0.0.0/8 a host; workload A without its services."""
        return endpoints.thousand(self)

    def growth(self):
        """How cost grows: with hosts (facts and 45 tasks each), and with tasks (one host). CPU is the controller's."""
        return endpoints.growth(self)

    def write(self, done):
        def version(*command):
            out = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
            return ((out.stdout + out.stderr).splitlines() or ["?"])[0].strip()

        lines = [
            "# Results", "",
            f"Written by `make bench`. {time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores "
            f"({platform.machine()}, Linux {platform.release().split('-')[0]}) that carry the controller and all hosts; "
            f"load before the first run and at the end: {LOAD:.1f} and {os.getloadavg()[0]:.1f}.",
            "; ".join(version(*words) for words in (
                (self.mini_play, "--version"), (self.venv / "bin/ansible", "--version"), (self.venv / "bin/pyinfra", "--version"), ("ssh", "-V"),
            )) + ".", "",
            f"{self.count} lab hosts. Medians of up to {self.args.rounds} runs, all tools in turn. Bytes are those on the bridge, with all headers; CPU "
            "and memory are the controller's process and the children it waited for, memory that of the largest.", "",
            "## Goals", "", *table(("figure", "goal", "seen", ""), self.goals), "",
            *self.text,
            "## Not measured", "",
            "Workload C (the bundled stack; `make test-stack` applies it, untimed); D at 20 ms and beside other files; 100 systemd hosts at once.",
            "The packages of workload A are there from the beginning, so a first apply here is directories, files, lines and commands.",
            *self.missing,
        ]
        left = [name for name in SECTIONS if name not in done]
        if left:
            lines.append(f"Sections that were not run: {', '.join(left)}.")
        (HERE / "RESULTS.md").write_text("\n".join(lines) + "\n")


SECTIONS = ("A", "B", "D", "line", "endpoints", "growth")


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--only", default=",".join(SECTIONS), help="sections, comma-separated")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--slow", type=int, default=1, help="runs of ansible-core and Mitogen; 0 leaves them out")
    for name in ("lab", "mini_play", "floor", "venv"):
        options.add_argument(name)
    args = options.parse_args()
    wanted = args.only.split(",")
    if wrong := [name for name in wanted if name not in SECTIONS]:
        options.error(f"no section {', '.join(wrong)}; there are {', '.join(SECTIONS)}")
    bench = Bench(args)
    done, failed = [], []
    for name in [name for name in SECTIONS if name in wanted]:
        section = getattr(bench, name)
        print(f"== {name}: {section.__doc__}", flush=True)
        try:
            found = section()
        except Exception:
            traceback.print_exc()
            failed.append(name)
            bench.missing.append(f"{name}: failed")
            continue
        done.append(name)
        bench.text += [f"## {section.__doc__.rstrip('.')}", "", *found, ""]
        bench.write(done)
    bench.write(done)
    for what, wanted, seen, verdict in bench.goals:
        print(f"{verdict.strip('*'):6} {what}: {seen} (goal: {wanted})")
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
