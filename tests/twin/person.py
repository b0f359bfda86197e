"""A person's question to a name server, asked from wherever this runs: ``python person.py SERVER NAME [NET]``.

Prints the addresses of the answer, one a line. ``NET`` is whom the question is asked for (EDNS client subnet, RFC
7871), as resolvers of providers do it.
"""

import sys
from ipaddress import IPv4Network

import dns.edns
import dns.exception
import dns.message
import dns.query
import dns.rdatatype

LIMIT = 3.0
_TRIES = 2


def question(name: str, net: str = "") -> dns.message.Message:
    """A question for the addresses of a name."""
    options: list[dns.edns.Option] = []
    if net:
        asked = IPv4Network(net)
        options.append(dns.edns.ECSOption(str(asked.network_address), asked.prefixlen))
    return dns.message.make_query(name, dns.rdatatype.A, use_edns=0, options=options)


def ask(server: str, asks: dns.message.Message) -> list[str]:
    """The addresses that a server tells; asked once more when nothing comes."""
    for attempt in range(1, _TRIES + 1):
        try:
            answer = dns.query.udp(asks, server, timeout=LIMIT)
        except dns.exception.Timeout:
            if attempt == _TRIES:
                raise
            continue
        return [record.address for found in answer.answer for record in found if record.rdtype == dns.rdatatype.A]
    return []


def main() -> None:
    """Print where a name leads."""
    server, name, *net = sys.argv[1:]
    sys.stdout.write("".join(f"{one}\n" for one in ask(server, question(name, *net))))


if __name__ == "__main__":
    main()
