"""The way of a request from a person's network to a site: names, points of the CDN, edge servers."""

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from deploy.twin.whole import Twin
from tests.system.running import strain
from tests.twin.origins import Origins
from tests.twin.people import Answer, Person, eventually

pytestmark = [pytest.mark.twin, pytest.mark.timeout(900)]

CHECKS = 2.0 + 2.0  # seconds between checks, and the longest that one takes
SITE_CHECKS = 3.0  # until a site says that it is ill, once an ingress no longer answers
MARGIN = 3.0  # for the asking itself
FAILOVER = 4.0  # until the address of a site is at its other edge server
EDGES = ("spb-edge-1", "spb-edge-2")
PRODUCTS = "/api/v1/products"


@pytest.fixture(autouse=True)
def _all_there(origins: Origins) -> None:
    origins.start("spb", "msk")


@pytest.fixture
def servers(twin: Twin) -> list[str]:
    """The name servers' addresses."""
    return [one.address for one in twin.inventory.machines if "dns" in one.groups]


@pytest.fixture
def addresses(twin: Twin) -> dict[str, str]:
    """Each site's address for people, and each point's."""
    lan = twin.inventory.net("spb")[0].exploded.rsplit(".", 2)[0]
    points = {one.name: one.address for one in twin.inventory.machines if "cdn" in one.groups}
    return {"spb": f"{lan}.1.20", "msk": f"{lan}.2.20", **points}


def leads(person: Person, name: str, server: str, wanted: str, within: float) -> None:
    """Wait until a name server leads a person there."""
    eventually(lambda: person.resolve(name, server), lambda found: found == [wanted], within)


def settled(person: Person, servers: list[str], name: str, wanted: str) -> None:
    """Wait until all name servers say so: they begin to check when they start."""
    for server in servers:
        leads(person, name, server, wanted, 60 * strain())


def kept(person: Person, path: str, at: str) -> Answer:
    """Ask until a point answers from what it has kept."""
    answer, _ = eventually(lambda: person.get(path, at=at), lambda one: _state(one) == "hit", 30 * strain())
    return answer


# ---------------------------------------------------------------- names


def test_a_person_is_led_to_the_near_site_and_point(
    central: Person, eastern: Person, servers: list[str], addresses: dict[str, str]
) -> None:
    """Otherwise every page of half the country takes the long way."""
    assert len(servers) == 3
    for person, site, point in ((central, "spb", "cdn-central"), (eastern, "msk", "cdn-east-1")):
        settled(person, servers, "api", addresses[site])
        settled(person, servers, "www", addresses[point])


def test_a_resolver_may_ask_for_somebody_elsewhere(
    central: Person, eastern: Person, servers: list[str], addresses: dict[str, str]
) -> None:
    """People who use a far resolver would be led to the site that is near to it."""
    settled(central, servers, "api", addresses["spb"])
    for server in servers:
        assert central.resolve("api", server, eastern.net) == [addresses["msk"]]
        assert eastern.resolve("api", server, central.net) == [addresses["spb"]]


# ---------------------------------------------------------------- hops


@pytest.mark.parametrize("hop", ["cdn-central", "cdn-west-1", "cdn-west-2", "cdn-east-1", "spb", "msk"])
def test_every_hop_leads_to_the_marketplace(central: Person, addresses: dict[str, str], hop: str) -> None:
    """A person who is led there would find nothing, or something without protection."""
    answer = central.get("/", at=addresses[hop])
    assert (answer.status, answer.protocol) == (200, "2")
    assert answer.header("strict-transport-security") == "max-age=31536000"
    assert answer.header("content-security-policy").startswith("default-src 'none'")
    assert answer.header("x-content-type-options") == "nosniff"
    assert answer.header("x-point") == (hop if hop.startswith("cdn") else "")


@pytest.mark.parametrize("hop", ["cdn-central", "spb"])
@pytest.mark.parametrize(
    "path", ["/internal/v1/orders/policy", "/metrics", "/healthz/ready", "//metrics", "/x/../metrics"]
)
def test_what_is_for_machines_is_refused(central: Person, addresses: dict[str, str], hop: str, path: str) -> None:
    """Others could ask for policies, or learn how busy we are."""
    assert central.get(path, "--path-as-is", at=addresses[hop]).status == 404


def test_older_tls_and_other_names_are_refused(central: Person, addresses: dict[str, str]) -> None:
    """A name that is not ours must get no certificate of ours."""
    with pytest.raises(AssertionError, match="curl"):
        central.get("/", "--tls-max", "1.2", at=addresses["spb"])
    with pytest.raises(AssertionError, match="curl"):
        central.get("/", name="else", at=addresses["spb"])


def test_who_guesses_is_slowed_down(central: Person, addresses: dict[str, str]) -> None:
    """Numbers of policies could be tried out by the thousand."""
    said = central._run(
        *("curl", "-sS", "-k", "-o", "/dev/null", "-w", "%{http_code}\n", "--max-time", "60"),
        *("--resolve", f"api.insuretech.test:443:{addresses['spb']}"),
        "https://api.insuretech.test/verify/[1-80]",
    )
    assert "429" in said.split()
    answer = central.get("/verify/x", name="api", at=addresses["spb"])
    if answer.status == 429:
        assert answer.header("content-type") == "application/problem+json"
        assert json.loads(answer.body)["status"] == 429
        assert answer.header("retry-after") == "1"
    assert central.get(PRODUCTS, name="api", at=addresses["spb"]).status == 200


def test_logs_hold_no_token_and_no_query(twin: Twin, central: Person, addresses: dict[str, str]) -> None:
    """Who reads logs could open a person's policy."""
    secret = f"s3cret{time.time_ns()}"
    for path in (f"/found/{secret}", f"/api/v1/documents/{secret}", f"/?token={secret}"):
        central.get(
            path, "-H", f"Authorization: Bearer {secret}", "-b", f"session={secret}", at=addresses["cdn-central"]
        )
    for name in (*EDGES, "cdn-central"):
        found = _inside(
            twin, name, f"grep -rc -- {secret} /var/log || true; journalctl -q | grep -c -- {secret} || true"
        )
        assert {line.rpartition(":")[2] for line in found.split()} == {"0"}
    assert any('"/found/-"' in _inside(twin, name, "cat /var/log/nginx/access.log") for name in EDGES)


# ---------------------------------------------------------------- the CDN


def test_a_point_answers_for_the_origin(central: Person, origins: Origins, addresses: dict[str, str]) -> None:
    """The list of products would weigh on the services with every reader; so would every file."""
    page = central.get("/", at=addresses["cdn-central"]).body
    static = next(part.split('"')[0] for part in page.split('="') if part.startswith("/static/"))
    for path in (PRODUCTS, static):
        kept(central, path, addresses["cdn-central"])
    origins.stop("spb", "msk")  # idle for good
    for path in (PRODUCTS, static):
        answer = central.get(path, at=addresses["cdn-central"])
        assert (answer.status, _state(answer)) == (200, "hit")
        assert "surrogate-key" not in answer.headers
        again = central.get(path, "-H", f"If-None-Match: {answer.header('etag')}", at=addresses["cdn-central"])
        assert again.status == (304 if answer.header("etag") else 200)


@pytest.mark.parametrize("how", ["dead", "hung"])
def test_an_old_copy_is_better_than_none(
    twin: Twin, central: Person, origins: Origins, addresses: dict[str, str], how: str
) -> None:
    """While no site answers, people still see what is sold."""
    at = addresses["cdn-central"]
    kept(central, PRODUCTS, at)
    (origins.stop if how == "dead" else origins.freeze)("spb", "msk")
    try:
        assert _purged(twin, at, "products") >= 1
        began = time.monotonic()
        answer = central.get(PRODUCTS, at=at)
        assert answer.status == 200
        assert _state(answer).startswith("stale")
        assert time.monotonic() - began < 10 * strain()
        if how == "dead":
            refused = central.get("/api/v1/quotes/00000000-0000-0000-0000-000000000000", at=at)
            assert (refused.status, refused.header("content-type")) == (503, "application/problem+json")
    finally:
        if how == "hung":
            origins.thaw("spb", "msk")


def test_a_purge_by_tag_reaches_readers_at_once(twin: Twin, central: Person, addresses: dict[str, str]) -> None:
    """A product that is withdrawn would be offered until the page's time is over."""
    for name in ("cdn-central", "cdn-east-1"):
        at = addresses[name]
        for path in (PRODUCTS, f"{PRODUCTS}/osago"):
            kept(central, path, at)
        assert _purged(twin, at, "product-osago") == 1
        assert _state(central.get(PRODUCTS, at=at)) == "hit"
        assert _state(central.get(f"{PRODUCTS}/osago", at=at)) in {"stale", "miss"}
        kept(central, f"{PRODUCTS}/osago", at)


def test_only_we_may_purge(twin: Twin, central: Person, addresses: dict[str, str]) -> None:
    """Anybody could take the CDN away from in front of the services."""
    at = addresses["cdn-central"]
    tag = ("-X", "POST", "-H", "Surrogate-Key: products")
    assert central.get("/cdn/purge", *tag, "-H", f"X-Purge-Token: {_token(twin)}", at=at).status == 404
    assert not central.connects(at, 8444)
    assert central.get("/", "-X", "PURGE", "-H", f"X-Purge-Token: {_token(twin)}", at=at).status == 405
    with pytest.raises(AssertionError, match="403"):
        _purged(twin, at, "products", token="wrong")


# ---------------------------------------------------------------- faults


def test_a_dead_ingress_costs_nobody_anything(
    central: Person, origins: Origins, servers: list[str], addresses: dict[str, str]
) -> None:
    """People have the site's address for half a minute: until then its edge server must know another way."""
    settled(central, servers, "api", addresses["spb"])
    origins.stop("spb")
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(central.get, PRODUCTS, name="api", at=addresses["spb"]) for _ in range(20)]
        assert {one.result().status for one in asked} == {200}
    within = (SITE_CHECKS + CHECKS + MARGIN) * strain()
    for server in servers:
        leads(central, "api", server, addresses["msk"], within)
    origins.start("spb")
    settled(central, servers, "api", addresses["spb"])


@pytest.mark.parametrize("how", ["machine", "nginx"])
def test_a_dead_edge_server_hands_the_address_on(
    twin: Twin, central: Person, addresses: dict[str, str], how: str
) -> None:
    """People know one address of the site; it must not die with one machine."""
    (holder,) = eventually(lambda: _holders(twin, addresses["spb"]), lambda found: len(found) == 1, 30 * strain())[0]
    if how == "machine":
        twin.machine(holder).cut_power()
    else:
        _inside(twin, holder, "systemctl stop nginx")
    try:
        eventually(
            lambda: central.served(PRODUCTS, name="api", at=addresses["spb"]), bool, (FAILOVER + MARGIN) * strain()
        )
        (heir,) = eventually(
            lambda: _holders(twin, addresses["spb"]), lambda found: len(found) == 1 and found != [holder], 30
        )[0]
    finally:
        if how == "machine":
            _boot(twin, holder)
        else:
            _inside(twin, holder, "systemctl start nginx")
    time.sleep(5)
    assert _holders(twin, addresses["spb"]) == [heir], "a server that returns must move nobody"


def test_a_dead_site_leaves_the_answers(
    twin: Twin, central: Person, eastern: Person, servers: list[str], addresses: dict[str, str]
) -> None:
    """Power off: who asks for the name after that must be led to the living site, and still be served by the point."""
    settled(central, servers, "api", addresses["spb"])
    edges = [twin.machine(name) for name in EDGES]
    living = [server for server in servers if server not in {str(edge.machine.address) for edge in edges}]
    for edge in edges:
        edge.cut_power()
    try:
        for server in living:
            leads(central, "api", server, addresses["msk"], (CHECKS + MARGIN) * strain())
            assert eastern.resolve("api", server) == [addresses["msk"]]
        assert central.get("/", at=addresses["cdn-central"]).status == 200
        assert central.get(PRODUCTS, name="api", at=addresses["msk"]).status == 200
    finally:
        _boot(twin, *EDGES)
    settled(central, servers, "api", addresses["spb"])


def test_a_dead_point_leaves_the_answers(
    twin: Twin, central: Person, servers: list[str], addresses: dict[str, str]
) -> None:
    """People near a dead point go to the next one."""
    settled(central, servers, "www", addresses["cdn-central"])
    point = twin.machine("cdn-central")
    point.cut_power()
    try:
        for server in servers:
            leads(central, "www", server, addresses["cdn-west-1"], (CHECKS + MARGIN) * strain())
    finally:
        _boot(twin, "cdn-central")
    settled(central, servers, "www", addresses["cdn-central"])


# ---------------------------------------------------------------- pieces


def _state(answer: Answer) -> str:
    return answer.header("x-cache")


def _token(twin: Twin) -> str:
    return (twin.home / "secrets" / "cdn-purge").read_text(encoding="ascii").strip()


def _purged(twin: Twin, at: str, tag: str, token: str = "") -> int:
    """Purge by tag from the machine that carries the twin; how many copies that concerned."""
    authority = twin.home / "secrets" / "tls" / "ca.crt"
    done = subprocess.run(
        (
            *("curl", "-sS", "-f", "--max-time", "30", "--cacert", str(authority), "-X", "POST"),
            *("-H", f"X-Purge-Token: {token or _token(twin)}"),
            *("-H", f"Surrogate-Key: {tag}", f"https://{at}:8444/cdn/purge"),
        ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(json.loads(done.stdout)["purged"])


def _boot(twin: Twin, *names: str) -> None:
    """As an operator does it."""
    words = (sys.executable, "-m", "deploy.twin", "boot", "--folder", str(twin.home), *names)
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr


def _holders(twin: Twin, address: str) -> list[str]:
    """Which edge servers have an address."""
    return [name for name in EDGES if address in _addresses(twin, name)]


def _addresses(twin: Twin, name: str) -> list[str]:
    """Of a machine; none while one cannot get in."""
    words = (*twin.machine(name).ssh_words(), "ip -brief address show host0")
    said = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60).stdout
    return [one.partition("/")[0] for one in said.split()]


def _inside(twin: Twin, name: str, command: str) -> str:
    done = subprocess.run(
        (*twin.machine(name).ssh_words(), command), capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout
