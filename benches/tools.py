"""What the sections of the benchmark share: the hosts of a lab, running a program and what it cost, paired medians."""

import json
import os
import shlex
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent


class Hosts:
    """A lab's hosts and how to reach them."""

    def __init__(self, lab):
        self.dir = Path("/var/lib/mini-play/labs") / lab
        self.inventory = self.dir / "inventory.yaml"
        self.key = self.dir / "key"
        self.ssh = ["-F", str(self.dir / "ssh_config")]
        self.addresses = {}
        name = None
        for line in self.inventory.read_text().splitlines():
            if line.startswith("    ") and line.endswith(":") and not line.startswith("     "):
                name = line.strip(" :")
            elif "ansible_host:" in line:
                self.addresses[name] = line.split()[-1]
        self.bridge = f"mp-{lab}"

    def bytes(self):
        """What all hosts got and sent so far, headers included."""
        at = Path("/sys/class/net") / self.bridge / "statistics"
        return [int((at / name).read_text()) for name in ("tx_bytes", "rx_bytes")]

    def do(self, script, only=None):
        """Runs a script on every host."""
        for name in [only] if only else self.addresses:
            subprocess.run(["ssh", *self.ssh, name, script], check=True, stdin=subprocess.DEVNULL)

    def pyinfra(self, path, addresses=None, port=22):
        """Writes an inventory for pyinfra."""
        more = {"ssh_user": "root", "ssh_key": str(self.key), "ssh_known_hosts_file": str(self.dir / "known_hosts"),
                "ssh_port": port, "ssh_strict_host_key_checking": "off" if addresses else "yes"}
        hosts = [(name, {"ssh_hostname": address, **more}) for name, address in (addresses or self.addresses).items()]
        path.write_text(f"hosts = {hosts!r}\n")
        return path


class Cost:
    """What one run of a program cost: seconds, CPU seconds and peak MB of it and the children it waited for, its output."""

    def __init__(self, command, env=None, cwd=None):
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            start = time.monotonic()
            child = subprocess.Popen(
                [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                env={**os.environ, **(env or {})}, cwd=cwd,
            )
            _, status, usage = os.wait4(child.pid, 0)
            self.seconds = time.monotonic() - start
            child.returncode = os.waitstatus_to_exitcode(status)
            out.seek(0)
            err.seek(0)
            self.text = out.read().decode(errors="replace")
            said = err.read().decode(errors="replace")
        if child.returncode != 0:
            raise RuntimeError(f"{shlex.join(map(str, command))} failed\n{self.text[-3000:]}\n{said[-3000:]}")
        self.cpu = usage.ru_utime + usage.ru_stime
        self.memory = usage.ru_maxrss / 1024
        self.up = self.down = 0


class Tool:
    """One of several programs that do the same."""

    def __init__(self, name, command, env=None, cwd=None, runs=None):
        self.name, self.command, self.env, self.cwd = name, command, env, cwd
        self.runs, self.first, self.again = runs, [], []
        self.turns = self.changed = None

    def measure(self, hosts=None):
        before = hosts.bytes() if hosts else [0, 0]
        cost = Cost(self.command, self.env, self.cwd)
        if hosts:
            cost.up, cost.down = (b - a for a, b in zip(before, hosts.bytes()))
        if self.name == "mini-play":
            end = next(e for e in map(json.loads, cost.text.splitlines()) if e["event"] == "run_end")
            self.turns = max(h["turns"] for h in end["hosts"])
            self.changed = sum(h["changed"] for h in end["hosts"])
        return cost

    def median(self, field="seconds", first=False):
        runs = self.first if first else self.again
        return statistics.median(getattr(cost, field) for cost in runs) if runs else None


def paired(tools, rounds, hosts, forget):
    """First applies and applies with nothing to change, all tools in turn. `forget` takes away what they make; without it
    only the latter. A tool that fails is left out of what follows, with a word."""
    left = []
    for kind in ("first", "again"):
        if kind == "first" and not forget:
            continue
        for number in range(rounds):
            for tool in [tool for tool in tools if tool not in left]:
                if tool.runs is not None and number >= tool.runs or kind == "first" and tool.name == "floor":
                    continue
                try:
                    if kind == "first":
                        forget()
                    cost = tool.measure(hosts)
                except (OSError, RuntimeError) as why:
                    print(f"{tool.name} is left out: {why}", flush=True)
                    left.append(tool)
                    continue
                if kind == "again" and tool.changed:
                    raise RuntimeError(f"{tool.name} changed {tool.changed} things where nothing was to be done")
                getattr(tool, kind).append(cost)
                if kind == "first":
                    tool.first_turns, tool.changed = tool.turns, None
                print(f"{kind} {number} {tool.name}: {cost.seconds:.2f} s, CPU {cost.cpu:.2f} s", flush=True)
    return [tool for tool in tools if tool.again], [tool.name for tool in left]


def table(head, rows):
    """A table in Markdown."""
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return [*lines, *(f"| {' | '.join(str(cell) for cell in row)} |" for row in rows)]
