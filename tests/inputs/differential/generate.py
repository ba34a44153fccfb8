#!/usr/bin/env python3
"""Runs results.yml with ansible-core 2.19 and writes the results of its tasks into expected.json, for our test to compare with.

    python tests/inputs/differential/generate.py

Times, ids and the folder's name are taken out on both sides; see tests/results.rs.
"""
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
tool = pathlib.Path(sys.executable).parent / "ansible-playbook"
with tempfile.TemporaryDirectory(prefix="differential") as tmp:
    work = pathlib.Path(tmp) / "work"
    work.mkdir()
    done = subprocess.run(
        [tool, "-i", "inventory.yml", "results.yml", "-e", f"ansible_python_interpreter={sys.executable}",
         "-e", f"tmp={work}", "-e", f"dump={tmp}/dump.json"],
        cwd=HERE, capture_output=True, text=True,
    )
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    text = pathlib.Path(f"{tmp}/dump.json").read_text().replace(str(work), "TMP").replace(str(HERE), "HERE")
    (HERE / "expected.json").write_text(text + "\n")
