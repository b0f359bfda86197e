"""The catalogue of faults: what is done to a running cluster, for how long, and how it is mended."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from time import sleep

from cluster.control import Control

Strike = Callable[[Control], Sequence[str]]
"""Does it and tells to whom."""
Mend = Callable[[Control, Sequence[str]], None]

PAIRS = (("quotes", "orders"), ("storefront", "documents"))
"""Any two of different services: here those that ask each other, and those a buyer waits for."""
OUTSIDE = {"sandbox"}
"""Insurers and payment provider are not ours; that they fail is their mood (``rehearsal.MOODS``)."""


def revive(control: Control, names: Sequence[str]) -> None:
    """Run again, whatever was done to them."""
    control.revive(*names)


@dataclass(frozen=True)
class Fault:
    """``lasts`` is the seconds from the strike to the mending; what restarts everything takes its own time."""

    name: str
    strike: Strike
    lasts: float
    mend: Mend = field(default=revive)


def catalogue(control: Control, chance: random.Random) -> Iterator[Fault]:
    """Every fault, the cheap ones first: a machine that is too slow shows it early.

    Each lasts a little longer than it takes the others to notice: the balancer two seconds for who is dead and seven
    for who is frozen, Redis two, Kafka six, the other relays five. Longer shows nothing more, and there are many.
    """
    services = [name for name in control.cluster.services.names if name not in OUTSIDE]
    for service in services:
        yield Fault(f"kill one of {service}", _kill(_one_of(service, chance)), 3)
    for first, second in PAIRS:
        if first in services and second in services:
            yield Fault(f"kill {first} and {second}", _kill(_one_of(first, chance), _one_of(second, chance)), 4)
    yield Fault("kill the favourite of quotes", _kill(_favourite("quotes")), 4)
    yield Fault("kill the relay of orders", _kill(_relay("orders")), 5)
    yield Fault("kill one S3 node", _kill(_one_of("s3", chance)), 5)
    yield Fault("kill one Redis master", _kill(_redis_master(chance)), 6)
    yield Fault("kill one broker", _kill(_plain_broker(chance)), 8)
    yield Fault("kill the controller leader", _kill(_controller), 8)
    for service in services:
        yield Fault(f"freeze one of {service}", _freeze(_one_of(service, chance)), 8)
    yield Fault("freeze the relay of orders", _freeze(_relay("orders")), 9)
    yield Fault("freeze one S3 node", _freeze(_one_of("s3", chance)), 5)
    yield Fault("freeze one Redis master", _freeze(_redis_master(chance)), 6)
    yield Fault("freeze one broker", _freeze(_plain_broker(chance)), 9)
    yield Fault("freeze the controller leader", _freeze(_controller), 9)
    yield Fault("kill all of Redis", _kill(_all("redis")), 10)
    yield Fault("restart all services one by one", _nobody, 0, _restart_one_by_one)
    yield Fault("Kafka away for two minutes", _kill(_all("kafka")), 120)


# ---------------------------------------------------------------- whom

Choice = Callable[[Control], Sequence[str]]


def _one_of(role: str, chance: random.Random) -> Choice:
    return lambda control: [chance.choice(control.names(role))]


def _all(role: str) -> Choice:
    return lambda control: control.names(role)


def _favourite(service: str) -> Choice:
    return lambda control: [control.favourite(service)]


def _redis_master(chance: random.Random) -> Choice:
    return lambda control: [chance.choice(sorted(control.redis_masters()))]


def _controller(control: Control) -> Sequence[str]:
    return [control.kafka_controller()]


def _plain_broker(chance: random.Random) -> Choice:
    def choose(control: Control) -> Sequence[str]:
        leader = control.kafka_controller()
        return [chance.choice([name for name in control.names("kafka") if name != leader])]

    return choose


def _relay(service: str) -> Choice:
    """The replica that relays most ranges of keys."""

    def ranges(metrics: str) -> float:
        wanted = f'insuretech_relay_ranges{{service="{service}"}} '
        return sum(float(line.removeprefix(wanted)) for line in metrics.splitlines() if line.startswith(wanted))

    return lambda control: [max(control.names(service), key=lambda name: ranges(control.metrics(name)))]


# ---------------------------------------------------------------- what


def _kill(*choices: Choice) -> Strike:
    def strike(control: Control) -> Sequence[str]:
        names = [name for choose in choices for name in choose(control)]
        control.kill(*names)
        return names

    return strike


def _freeze(choose: Choice) -> Strike:
    def strike(control: Control) -> Sequence[str]:
        names = choose(control)
        control.freeze(*names)
        return names

    return strike


def _nobody(control: Control) -> Sequence[str]:
    del control
    return []


def _restart_one_by_one(control: Control, _: Sequence[str]) -> None:
    """As a deployment of ours does: the next is stopped when the one before is well."""
    for name in control.names(*(set(control.cluster.services.names) - OUTSIDE)):
        control.restart(name, limit=90)
        sleep(1)  # the load balancer takes a replica back after one good probe a second
