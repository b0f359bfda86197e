"""What a hostile or broken client sends, and what it has to get back."""

import json
from collections.abc import Iterator
from typing import Any

import httpx

from tests.system.buyer import Json

PROBLEM_MEMBERS = {"type": str, "title": str, "status": int, "trace_id": str}

BODIES: dict[str, bytes] = {
    "nothing": b"",
    "blank": b"   \n",
    "half an object": b'{"product": "osago", ',
    "two documents": b"{} {}",
    "trailing comma": b'{"product": "osago",}',
    "binary": bytes(range(256)),
    "gzip magic": b"\x1f\x8b\x08\x00rubbish",
    "byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"product": "osago"}'.encode("utf-16"),
    "bad UTF-8 in a string": b'{"product": "\xff\xfe"}',
    "overlong UTF-8": b'{"product": "\xc0\xaf"}',
    "half a surrogate pair": b'{"product": "\\ud800"}',
    "raw NUL": b'{"product": "a\x00b"}',
    "escaped NUL": b'{"product": "a\\u0000b"}',
    "null": b"null",
    "true": b"true",
    "number": b"42",
    "string": b'"osago"',
    "list": b"[]",
    "empty object": b"{}",
    "list of objects": b"[{}]",
    "NaN": b'{"product": NaN}',
    "infinity": b'{"product": Infinity}',
    "exponent beyond a float": b'{"product": 1e999}',
    "5,000 digits": b'{"product": ' + b"9" * 5_000 + b"}",
    "500,000 digits": b"9" * 500_000,
    "deep lists": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "deep answers": b'{"product": "osago", "answers": ' + b'{"a":' * 900 + b"1" + b"}" * 900 + b"}",
    "deep and never closed": b"[" * 200_000,
    "100,000 fields": json.dumps({f"field{number}": number for number in range(60_000)}).encode(),
    "same field twice": b'{"product": "osago", "product": "travel"}',
    "prototype": b'{"__proto__": {"admin": true}, "constructor": {}}',
}
"""Bodies that no address takes."""

TOO_LARGE = 10 * 1024 * 1024

LEAVES: dict[str, Any] = {
    "null": None,
    "number": 7,
    "minus": -1,
    "huge": 10**30,
    "huge text number": "9" * 400,
    "fraction": 0.1,
    "true": True,
    "list": [],
    "list in list": [[[[[[]]]]]],
    "object": {},
    "odd object": {"$ref": "#/definitions/x", "": None},
    "empty text": "",
    "long text": "я" * 20_000,
    "NUL": "a\0b",
    "controls": "\x01\x1f\x7f\u202e\ufeff",
    "emoji": "🜚💥" * 10,
    "no such day": "2026-02-30",
    "year 0": "0000-00-00",
    "far year": "99999-01-01",
    "moment for a day": "2026-02-03T25:61:00Z",
    "SQL": "' or 1=1; drop table orders; --",
    "markup": "<script>alert(1)</script>{{7*7}}${7*7}",
    "path": "../../../../etc/passwd",
}
"""Values put in place of every value of a good body, one at a time."""

NEVER_RIGHT = {"NUL", "list in list", "odd object"}
"""Of those, the ones that no field may take."""


def mutants(body: Json) -> Iterator[tuple[str, Json]]:
    """Every good body with one thing wrong: a value exchanged, a field missing, an unknown field added."""
    for path in _paths(body):
        where = "/" + "/".join(map(str, path))
        for name, value in LEAVES.items():
            yield f"{name} at {where}", _with(body, path, value)
        if isinstance(path[-1], str):
            yield f"nothing at {where}", _without(body, path)
        if isinstance(_at(body, path), dict):
            yield f"unknown in {where}", _with(body, (*path, "no_such_field"), 1)
    yield "unknown in /", {**body, "no_such_field": 1}


def faults_of(response: httpx.Response) -> list[str]:
    """What is wrong with an answer that should be a 4xx with a problem document; empty when it is one."""
    if not 400 <= response.status_code < 500:
        return [f"status {response.status_code}: {response.text[:200]}"]
    return problem_faults(response)


def problem_faults(response: httpx.Response) -> list[str]:
    """What is wrong with an error's document (RFC 9457 and the members we promise)."""
    kind = response.headers.get("content-type", "").partition(";")[0]
    if kind != "application/problem+json":
        return [f"{response.status_code} with content type {kind!r}: {response.text[:200]}"]
    document = response.json()
    found = [
        f"{member} is {document.get(member)!r}"
        for member, expected in PROBLEM_MEMBERS.items()
        if not isinstance(document.get(member), expected) or not document[member]
    ]
    if document.get("status") != response.status_code:
        found.append(f"status {document.get('status')} in the body of a {response.status_code}")
    for error in document.get("errors", []):
        pointer = error.get("pointer")
        if not isinstance(pointer, str) or (pointer and not pointer.startswith("/")) or not error.get("detail"):
            found.append(f"error {error}")
    return found


def _paths(value: object, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    items: Iterator[tuple[str | int, object]] = iter(())
    if isinstance(value, dict):
        items = iter(value.items())
    elif isinstance(value, list):
        items = iter(enumerate(value))
    for key, child in items:
        yield (*at, key)
        yield from _paths(child, (*at, key))


def _at(body: Any, path: tuple[str | int, ...]) -> Any:
    for key in path:
        body = body[key]
    return body


def _with(body: Json, path: tuple[str | int, ...], value: object) -> Json:
    copy: Json = json.loads(json.dumps(body))
    _at(copy, path[:-1])[path[-1]] = value
    return copy


def _without(body: Json, path: tuple[str | int, ...]) -> Json:
    copy: Json = json.loads(json.dumps(body))
    del _at(copy, path[:-1])[path[-1]]
    return copy
