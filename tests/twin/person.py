"""A person's question to a name server, asked from wherever this runs: ``python person.py SERVER NAME [NET]``.

Prints the addresses of the answer, one a line. ``NET`` is whom the question is asked for (EDNS client subnet, RFC
7871), as resolvers of providers do it.
"""

import secrets
import socket
import struct
import sys
from ipaddress import IPv4Address, IPv4Network

LIMIT = 3.0
_A, _OPT, _CLIENT_SUBNET = 1, 41, 8


def question(name: str, number: int, net: str = "") -> bytes:
    """A question for the addresses of a name."""
    head = struct.pack("!6H", number, 0x0100, 1, 0, 0, 1)
    labels = b"".join(bytes([len(label)]) + label.encode("ascii") for label in name.split("."))
    option = b""
    if net:
        asked = IPv4Network(net)
        length = (asked.prefixlen + 7) // 8
        told = struct.pack("!HBB", 1, asked.prefixlen, 0) + asked.network_address.packed[:length]
        option = struct.pack("!HH", _CLIENT_SUBNET, len(told)) + told
    more = b"\0" + struct.pack("!HHIH", _OPT, 1232, 0, len(option)) + option
    return head + labels + b"\0" + struct.pack("!HH", _A, 1) + more


def addresses(answer: bytes) -> list[str]:
    """The addresses in an answer; their time to live is checked by who asks for it."""
    count = struct.unpack("!H", answer[6:8])[0]
    place = _after_name(answer, 12) + 4
    found = []
    for _ in range(count):
        place = _after_name(answer, place)
        kind, _, _, length = struct.unpack("!HHIH", answer[place : place + 10])
        data = answer[place + 10 : place + 10 + length]
        place += 10 + length
        if kind == _A:
            found.append(str(IPv4Address(data)))
    return found


def _after_name(answer: bytes, place: int) -> int:
    while answer[place]:
        if answer[place] >= 0xC0:
            return place + 2
        place += answer[place] + 1
    return place + 1


def _asked(line: socket.socket, asks: bytes) -> bytes:
    """The answer to a question, asked once more when nothing comes."""
    line.send(asks)
    try:
        return line.recv(2048)
    except TimeoutError:
        line.send(asks)
        return line.recv(2048)


def main() -> None:
    """Print where a name leads."""
    server, name, *net = sys.argv[1:]
    number = secrets.randbelow(65536)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.settimeout(LIMIT)
        line.connect((server, 53))
        answer = _asked(line, question(name, number, *net))
    sys.stdout.write("".join(f"{one}\n" for one in addresses(answer)))


if __name__ == "__main__":
    main()
