#!/usr/bin/env python3
"""Writes what ansible-core makes of the templates in *.j2s into *.jsonl, for our tests to compare with.

Run it by hand after adding lines, in an environment with ansible-core 2.19, jmespath, netaddr and passlib, and with
ANSIBLE_COLLECTIONS_PATH where ansible.utils and community.general are:

    python tests/inputs/template/generate.py

A line of a .j2s file is a template; one that starts with `=` is a bare expression, with `?` a condition.
`⏎` stands for a newline. Lines that start with `##` are comments. Variables are in vars.yml.
"""
import json
import os
import pathlib

import yaml
from ansible._internal._templating._engine import TemplateEngine
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import trust_as_template

HERE = pathlib.Path(__file__).parent
# Cargo sets this one for our tests.
os.environ["CARGO_PKG_NAME"] = "mini-play"
init_plugin_loader([])


def trust(value):
    if isinstance(value, str):
        return trust_as_template(value)
    if isinstance(value, list):
        return [trust(item) for item in value]
    if isinstance(value, dict):
        return {key: trust(item) for key, item in value.items()}
    return value


def run(line, variables):
    loader = DataLoader()
    loader.set_basedir(str(HERE / "files"))
    variables = dict(variables, ansible_search_path=[str(HERE / "files")])
    engine = TemplateEngine(loader=loader, variables=variables)
    text = line.replace("⏎", "\n")
    try:
        if text.startswith("="):
            value = engine.evaluate_expression(trust(text[1:]))
        elif text.startswith("?"):
            value = engine.evaluate_conditional(trust(text[1:]))
        else:
            value = engine.template(trust(text))
        json.dumps(value)
        return {"ok": value}
    except Exception as error:
        names = []
        while error is not None:
            names.append(type(error).__name__)
            error = error.__cause__
        kind = "undefined" if "AnsibleUndefinedVariable" in names else "error"
        return {"fails": "omit" if "AnsibleValueOmittedError" in names else kind}


def main():
    variables = trust(yaml.safe_load((HERE / "vars.yml").read_text()))
    for path in sorted(HERE.glob("*.j2s")):
        rows = []
        for line in path.read_text().splitlines():
            if line.strip() and not line.startswith("##"):
                rows.append(json.dumps([line, run(line, variables)], ensure_ascii=False))
        path.with_suffix(".jsonl").write_text("\n".join(rows) + "\n")
        print(path.name, len(rows))


main()
