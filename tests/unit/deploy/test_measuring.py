"""What ``make twin-status ARGS=--measure`` reads out of the hops' own logs and statistics."""

from ipaddress import IPv4Network

import pytest

from deploy.twin import measuring


def test_a_request_that_was_passed_on_twice_counts_where_it_ended() -> None:
    """Nginx names everybody it tried; the first of them answered nobody."""
    lines = [
        '{"upstream":"10.60.1.41:30080","status":200}',
        '{"upstream":"10.60.1.41:30080, 10.60.2.41:30080","status":200}',
        '{"upstream":"","status":404}',
        '{"upstream":"10.60.1.4',
    ]

    assert list(measuring._upstreams(lines)) == ["10.60.1.41:30080", "10.60.2.41:30080"]


@pytest.mark.parametrize(("upstream", "near"), [("10.60.1.41:30080", True), ("10.60.2.41:30080", False), ("-", False)])
def test_who_stands_in_the_net_of_a_site_is_near(upstream: str, near: bool) -> None:
    """Otherwise calls to the other site count as calls that stayed."""
    assert measuring._within(upstream, IPv4Network("10.60.1.0/24")) is near


def test_requests_of_a_point_are_told_apart_by_site() -> None:
    """As varnishstat prints them."""
    told = "VBE.boot.spb.req     41  0.02 Backend requests sent\nVBE.boot.msk.req     1  0.00 Backend requests sent\n"

    assert measuring._backends(told) == {"spb": 41, "msk": 1}


def test_answers_of_a_process_are_counted() -> None:
    """What it refused, or took in, is none of the questions that were asked of it."""
    metrics = (
        'insuretech_requests_total{method="GET",status="200"} 7.0\n'
        'insuretech_requests_total{method="GET",status="404"} 2.0\n'
        'insuretech_requests_total{method="POST",status="200"} 100.0\n'
    )

    assert measuring._answered(metrics) == 7
