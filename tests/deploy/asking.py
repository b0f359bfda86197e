"""Asking Ansible, with the settings of the playbook and a home of its own."""

import os
import subprocess
from pathlib import Path

from deploy.twin.inventory import DEPLOY, ansible

_LIMIT = 600.0  # seconds


def told(program: str, *words: str | Path, home: Path, **surroundings: str) -> str:
    """What one of Ansible's programs prints; a run that fails shows its end. ``surroundings`` are for the inventory."""
    done = subprocess.run(
        [ansible(program), *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=_LIMIT,
        cwd=DEPLOY,
        env={
            **os.environ,
            "ANSIBLE_CONFIG": str(DEPLOY / "ansible.cfg"),
            "ANSIBLE_HOME": str(home),
            **surroundings,
        },
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return done.stdout
