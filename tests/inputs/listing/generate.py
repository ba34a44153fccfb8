#!/usr/bin/env python3
"""Writes what `ansible-playbook` of ansible-core 2.19 lists of site.yml into expected.txt, for our tests to compare with.

    python tests/inputs/listing/generate.py
"""
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
# Hosts and a play's own tags come in no order from Ansible: one host and one tag have just one.
LISTINGS = """\
--list-tasks
--list-tags
--list-hosts -l b
--syntax-check
--list-hosts --list-tasks --list-tags -l a
--list-tasks -t blk
--list-tasks -t untagged
--list-tasks -t tagged
--list-tasks -t never
--list-tasks --skip-tags blk,always
--list-tasks --skip-tags all
--list-tasks -t blk --skip-tags a
"""
tool = pathlib.Path(sys.executable).parent / "ansible-playbook"
with open(HERE / "expected.txt", "w") as out:
    for line in LISTINGS.splitlines():
        done = subprocess.run(
            [tool, "-i", "inventory.yml", "site.yml", *line.split()],
            cwd=HERE, capture_output=True, text=True, check=True,
        )
        out.write(f"=== {line}\n{done.stdout}")
