"""``python -m deploy.console projections check``: a command of ``insuretech`` inside a cluster, as its administrator.

The chart has a CronJob ``insuretech-operator`` that never runs by itself; a job is made of it with other words, what it
says is shown, and the job is taken away. ``KUBECONFIG`` says which cluster, or ``TWIN_HOME`` which twin.
``KUBECTL`` says where that program is, if it is not on the path.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

import msgspec

from deploy.commands import LIMIT, TwinFailed, run
from deploy.twin.inside import kubectl
from deploy.twin.whole import HOME, Twin
from insuretech.kit.failures import Unusable

_TEMPLATE = "cronjob/insuretech-operator"
_START = 120.0
"""Seconds until the command has begun: the image is on every node already."""
PATIENCE = 900.0
"""Seconds until it has ended."""


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What a command said, and the code with which it ended."""

    code: int
    said: str


def carry_out(kubectl: Sequence[str], words: Sequence[str], *, patience: float = PATIENCE) -> Done:
    """Run ``insuretech WORDS`` in a pod and wait for its end; raises ``TwinFailed`` when none comes."""
    name = f"insuretech-operator-{uuid4().hex[:8]}"
    made = run(*kubectl, "create", "job", name, f"--from={_TEMPLATE}", "--dry-run=client", "--output=json")
    job = json.loads(made.stdout)
    job["spec"]["template"]["spec"]["restartPolicy"] = "Never"
    job["spec"]["template"]["spec"]["containers"][0]["args"] = list(words)
    _apply(kubectl, json.dumps(job))
    try:
        code = _ended(kubectl, name, patience)
        return Done(code=code, said=run(*kubectl, "logs", f"job/{name}", "--tail=-1").stdout)
    finally:
        run(*kubectl, "delete", "job", name, "--cascade=background", "--wait=false", check=False)


def insist(kubectl: Sequence[str], *commands: Sequence[str]) -> None:
    """Run commands one after the other; raises ``TwinFailed`` with what it said when one does not end well."""
    for words in commands:
        done = carry_out(kubectl, words)
        if done.code:
            raise TwinFailed(f"insuretech {' '.join(words)} failed: {done.said.strip()}")


def _apply(kubectl: Sequence[str], document: str) -> None:
    command = [*kubectl, "create", "--filename=-"]
    done = subprocess.run(command, input=document, capture_output=True, text=True, check=False, timeout=LIMIT)
    if done.returncode:
        raise TwinFailed(f"The job cannot be made: {done.stderr.strip()}")


def _ended(kubectl: Sequence[str], name: str, patience: float) -> int:
    """The code of the command in the job's only pod, once it has ended."""
    began, told = time.monotonic(), {}
    while time.monotonic() - began < patience:
        words = ("get", "pods", f"--selector=batch.kubernetes.io/job-name={name}", "--output=json")
        for pod in json.loads(run(*kubectl, *words).stdout)["items"]:
            told = pod["status"]
            for container in told.get("containerStatuses", ()):
                if "terminated" in container["state"]:
                    return int(container["state"]["terminated"]["exitCode"])
        if told.get("phase", "Pending") == "Pending" and time.monotonic() - began > _START:
            raise TwinFailed(f"The pod of {name} did not start in {_START:.0f} s: {_reasons(told)}")
        time.sleep(1)
    raise TwinFailed(f"{name} has not ended after {patience:.0f} s.")


def _reasons(told: dict[str, object]) -> str:
    found = told.get("conditions", ())
    said = [one.get("message", "") for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    return "; ".join(text for text in said if text) or "nobody says why"


def kubectl_here() -> tuple[str, ...]:
    """With which words a command to the cluster of this shell begins."""
    given = os.environ.get("KUBECONFIG")
    twin = Path(os.environ.get("TWIN_HOME", HOME)).absolute()
    words = (os.environ.get("KUBECTL", "kubectl"), "--kubeconfig", given) if given else kubectl(Twin.opened(twin))
    return (*words, "--namespace", os.environ.get("NAMESPACE", "insuretech"))


def main() -> None:
    """Entry point."""
    try:
        done = carry_out(kubectl_here(), sys.argv[1:] or ["--help"])
    except Unusable as error:
        sys.exit(str(error))
    sys.stdout.write(done.said)
    sys.exit(done.code)


if __name__ == "__main__":
    main()
