"""A running twin goes to the other layout, as an operator takes production there."""

import msgspec

from cluster.fetching import Reporter
from deploy.commands import TwinFailed
from deploy.twin import host, network, whole
from deploy.twin.inventory import resolve
from deploy.twin.playbook import LEAVE, SITE, play
from deploy.twin.whole import Twin

LAYOUTS = {"witness": "3+2", "3+2": "witness"}
"""What each goes to."""


def switch(twin: Twin, layout: str, reporter: Reporter) -> Twin:
    """Have the machines of a layout; those that it lacks are switched off first, and thrown away in the end.

    A run that was broken off goes on when it is asked for the same again.
    """
    if layout not in LAYOUTS:
        raise TwinFailed(f"The layout is {' or '.join(LAYOUTS)}, not {layout}.")
    size, kubernetes = twin.inventory.size, twin.inventory.kubernetes
    with whole.alone(twin.home, reporter):
        before = resolve(twin.home, size, LAYOUTS[layout], kubernetes)
        new = resolve(twin.home, size, layout, kubernetes)
        kept = {one.name for one in new.machines}
        leaving = tuple(one for one in before.machines if one.name not in kept)
        both = Twin(twin.home, msgspec.structs.replace(new, machines=(*new.machines, *leaving)))
        ground = next(one.layers[-1] for one in both.machines)
        gone = [one for one in map(both.running, leaving) if one.folder.exists()]
        whole.halt([one for one in gone if one.runs])
        added = [one for one in new.machines if not both.running(one).folder.exists()]
        host.check_disk(added, twin.home, kept=False)
        network.up(new, twin.home)
        for machine in added:
            both.add(machine, ground)
        now = Twin(twin.home, new)
        now.boot([one for one in now.machines if not one.runs])
        names = [one.name for one in now.machines]
        if gone:
            told = ("-e", f"leave={','.join(one.name for one in gone)}")
            play(twin.home, new, names, reporter, book=LEAVE, more=told)
        play(twin.home, new, names, reporter, book=SITE)
        for one in gone:
            one.destroy()
            one.group.remove()
    return now
