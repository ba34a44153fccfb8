"""Stdout of ansible-playbook as our suite reads it: one JSON object for each result."""
import json
import os
import sys

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: results
type: stdout
short_description: one JSON object for each result
description: [one JSON object for each result]
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "results"

    def __init__(self):
        super().__init__()
        self.topic = None
        self.out = open(os.environ["DIFFERENTIAL_RESULTS"], "w")

    def say(self, **fields):
        self.out.write(json.dumps(fields, default=str) + "\n")
        self.out.flush()

    def v2_playbook_on_start(self, playbook):
        self.topic = os.path.basename(playbook._file_name).rsplit(".", 1)[0]

    def v2_playbook_on_stats(self, stats):
        hosts = {host: stats.summarize(host) for host in stats.processed}
        self.say(topic=self.topic, recap=hosts)

    def report(self, status, result, ignored=False):
        self.say(
            topic=self.topic,
            host=result.host.get_name(),
            task=result.task_name,
            module=result.task.action.rsplit(".", 1)[-1],
            place=result.task.get_path(),
            status=status,
            ignored=ignored,
            result=result.result,
        )

    def v2_runner_on_ok(self, result):
        self.report("changed" if result.is_changed() else "ok", result)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self.report("failed", result, bool(ignore_errors))

    def v2_runner_on_skipped(self, result):
        self.report("skipped", result)

    def v2_runner_on_unreachable(self, result):
        self.report("unreachable", result)

    def v2_playbook_on_no_hosts_matched(self):
        pass
