"""A thousand hosts that are addresses of this machine: one sshd, `MaxStartups` as it comes. Needs root."""

import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from tools import HERE, Cost, Tool, paired, table

KNOWN = "-o UserKnownHostsFile={0}/known_hosts -o IdentitiesOnly=yes"


@contextmanager
def sshd():
    """A private sshd on all addresses of 127.0.0.0/8: its folder and port."""
    at = Path(tempfile.mkdtemp(prefix="endpoints."))
    Path("/run/sshd").mkdir(exist_ok=True)
    for name in ("host", "id"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", at / name], check=True)
    shutil.copy(at / "id.pub", at / "authorized_keys")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (at / "sshd_config").write_text(
        f"Port {port}\nListenAddress 0.0.0.0\nHostKey {at}/host\nPidFile none\nAuthorizedKeysFile {at}/authorized_keys\n"
        "StrictModes no\nPermitRootLogin yes\nUsePAM no\nPasswordAuthentication no\nPrintMotd no\nLogLevel ERROR\n"
    )
    (at / "known_hosts").write_text("* " + (at / "host.pub").read_text())
    child = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", at / "sshd_config"], stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield at, port
    finally:
        child.terminate()
        child.wait()
        shutil.rmtree(at, ignore_errors=True)


def inventory(at, port, count):
    """The first so many addresses as hosts."""
    lines = ["all:", f"  vars: {{ansible_port: {port}, ansible_user: root, ansible_ssh_private_key_file: {at}/id}}", "  hosts:"]
    lines += [f"    e{n:04}: {{ansible_host: {address(n)}}}" for n in range(count)]
    path = at / f"inventory{count}.yaml"
    path.write_text("\n".join(lines) + "\n")
    return path


def address(n):
    return f"127.1.{n // 250}.{n % 250 + 1}"


def workload(at):
    """Workload A below a folder, without its services: this machine need not be run by systemd. All hosts share the files,
    so nothing in them may differ by host. The playbook, and the floor's script for the same."""
    for name in ("files", "templates"):
        shutil.copytree(HERE / "a" / name, at / name)
    template = at / "templates/app.conf.j2"
    template.write_text(template.read_text().replace("inventory_hostname", "'any'"))
    text = (HERE / "a/play.yml").read_text().replace("/opt/bench", f"{at}/root")
    play = at / "play.yml"
    play.write_text("".join(line for line in text.splitlines(True) if "service:" not in line))
    script = at / "floor.sh"
    text = (HERE / "a/floor.sh").read_text().replace("/opt/bench", f"{at}/root")
    script.write_text("".join(line for line in text.splitlines(True) if "systemctl" not in line) + "exit 0\n")
    return play, script


def apply(bench, at, play, hosts, *more):
    words = bench.apply(play, hosts, "--no-lock", "--ssh-common-args", KNOWN.format(at), *more)
    return Tool("mini-play", words, bench.state)


def thousand(bench, count=1000):
    """The floor takes as many at once as mini-play lets in at one place: eight."""
    with sshd() as (at, port):
        play, script = workload(at)
        Cost(apply(bench, at, play, inventory(at, port, 1)).command, bench.state)
        hosts = [f"{address(n)}:{port}" for n in range(count)]
        tools = [
            Tool("floor", [bench.floor, script, at / "id", "root", *hosts], {"FLOOR_THREADS": "8"}),
            apply(bench, at, play, inventory(at, port, count)),
        ]
        tools, _ = paired(tools, min(bench.args.rounds, 3), None, None)
        own = {tool.name: tool for tool in tools}
        mine, floor = own["mini-play"], own["floor"].median()
    bench.goal("1,000 endpoints, over a libssh2 loop", "at most 1.3", f"{mine.median() / floor:.2f}", mine.median() <= 1.3 * floor)
    bench.goal("1,000 endpoints, peak memory", "at most 150 MB", f"{mine.median('memory'):.0f} MB", mine.median("memory") <= 150)
    return table(("", "no change", "CPU s", "peak MB", "turns"), [
        (t.name, f"{t.median():.1f} s", f"{t.median('cpu'):.2f}", f"{t.median('memory'):.0f}", t.turns or "") for t in tools
    ])


def growth(bench):
    """Cost by hosts and by tasks, as a table and a plot."""
    rows, lines = [], {"hosts (45 tasks each)": [], "tasks (one host)": []}
    with sshd() as (at, port):
        play, _ = workload(at)
        one = inventory(at, port, 1)
        Cost(apply(bench, at, play, one).command, bench.state)
        for count in (10, 100, 1000):
            cost = apply(bench, at, play, inventory(at, port, count)).measure()
            rows.append((count, 45, f"{cost.seconds:.2f} s", f"{cost.cpu:.2f}", f"{cost.memory:.0f}"))
            lines["hosts (45 tasks each)"].append((count, cost.cpu))
        for count in (10, 45, 450, 4500):
            tasks = "".join(f"    - ansible.builtin.file: {{path: {at}/root/t{n}, state: directory, mode: '0755'}}\n" for n in range(count))
            many = at / f"tasks{count}.yml"
            many.write_text(f"- hosts: all\n  tasks:\n{tasks}")
            tool = apply(bench, at, many, one)
            tool.measure()
            cost = tool.measure()
            if tool.changed:
                raise RuntimeError(f"{tool.changed} of {count} tasks changed something again")
            rows.append((1, count, f"{cost.seconds:.2f} s", f"{cost.cpu:.2f}", f"{cost.memory:.0f}"))
            lines["tasks (one host)"].append((count, cost.cpu))
    plot(HERE / "growth.svg", lines)
    return [*table(("hosts", "tasks", "no change", "CPU s", "peak MB"), rows), "", "![CPU seconds of the controller](growth.svg)"]


def plot(path, lines):
    """Both axes logarithmic, so that what grows linearly has the slope of the dotted lines."""
    from math import log10

    low, high = log10(0.01), log10(100)

    def at(x, y):
        return f"{60 + log10(x) * 130:.0f},{360 - (log10(max(y, 0.01)) - low) / (high - low) * 320:.0f}"

    parts = ["<svg xmlns='http://www.w3.org/2000/svg' width='640' height='420' font-family='sans-serif' font-size='12'>",
             "<rect width='640' height='420' fill='white'/>"]
    for power in range(5):
        x, y = at(10**power, 0.01), at(1, 10 ** (power - 2))
        (x1, y1), (x2, y2) = x.split(","), y.split(",")
        parts.append(f"<path d='M{x1} {y1}V40M{x2} {y2}H580' stroke='#ddd'/>")
        parts.append(f"<text x='{x1}' y='380' text-anchor='middle'>{10**power:,}</text>")
        parts.append(f"<text x='52' y='{int(y2) + 4}' text-anchor='end'>{10 ** (power - 2):g}</text>")
    for power in (-4, -3, -2):
        ends = [at(10**p, 10 ** (p + power)) for p in (0, 4) if -2 <= p + power <= 2]
        if len(ends) == 2:
            parts.append(f"<polyline points='{' '.join(ends)}' stroke='#bbb' stroke-dasharray='3' fill='none'/>")
    for color, (name, points) in zip(("#06c", "#c30"), lines.items()):
        where = [at(x, y) for x, y in points]
        parts.append(f"<polyline points='{' '.join(where)}' stroke='{color}' stroke-width='2' fill='none'/>")
        parts += [f"<circle cx='{p.split(',')[0]}' cy='{p.split(',')[1]}' r='3' fill='{color}'/>" for p in where]
        parts.append(f"<text x='70' y='{20 if color == '#06c' else 36}' fill='{color}'>{name}</text>")
    parts += ["<text x='320' y='405' text-anchor='middle'>hosts, tasks</text>",
              "<text x='320' y='20'>CPU seconds of the controller</text>", "</svg>"]
    path.write_text("\n".join(parts) + "\n")
