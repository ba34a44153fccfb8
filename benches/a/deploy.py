"""Workload A for pyinfra: the same state as play.yml."""

from pyinfra import host
from pyinfra.facts.files import File
from pyinfra.facts.hardware import Cpus
from pyinfra.facts.server import LinuxDistribution
from pyinfra.operations import apt, files, server, systemd

ROOT = "/opt/bench"
distribution = host.get_fact(LinuxDistribution)
cpus = host.get_fact(Cpus)

for name in "base-files coreutils dash dpkg grep sed tar gzip".split():
    apt.packages(packages=[name], present=True)
for n in range(6):
    files.directory(path=f"{ROOT}/d{n}", mode="755")
for n in range(12):
    files.template(
        src="templates/app-pyinfra.conf.j2",
        dest=f"{ROOT}/d0/app{n}.conf",
        mode="644",
        name_of_host=host.name,
        distribution=distribution,
        cpus=cpus,
    )
for n in range(6):
    files.put(src="files/data.txt", dest=f"{ROOT}/d1/data{n}.txt", mode="600")
for n in range(8):
    if n < 4 or distribution["name"] == "RedHat":
        files.file(path=f"{ROOT}/d2/settings{n}", mode="644")
        files.line(path=f"{ROOT}/d2/settings{n}", line=f"^key{n} .*", replace=f"key{n} = {n}")
for n in range(4):
    if host.get_fact(File, path=f"{ROOT}/d3/done{n}") is None:
        server.shell(commands=[f"touch {ROOT}/d3/done{n}"])
for unit in ["ssh", "dbus", "systemd-journald", "systemd-logind"]:
    systemd.service(service=f"{unit}.service", running=True)
