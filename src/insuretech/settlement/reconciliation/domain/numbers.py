"""When two policy numbers are the same number.

People and programs write one number in many ways: with spaces and dashes, in small letters, with ``№`` before it, and
with Cyrillic letters where the other side has the Latin ones of the same shape (``ХХХ`` and ``XXX``, the series of
electronic OSAGO policies). The rule, in this order:

1. compatibility forms become plain ones (Unicode NFKC: full-width letters, ``ﬁ``), letters capitals, ``Ё`` stays;
2. white space of any kind, invisible characters, dashes of any kind and ``№`` are left out;
3. every unbroken run of letters is put into one alphabet: Latin when it holds a letter that only Latin has, else
   Cyrillic when it holds one that only Cyrillic has, else, when all its letters look the same in both, Latin.
   A run with letters of both that have no twin is left as it is.

What is *not* done, as it could make one number of two: ``0`` is never ``O``, ``3`` never ``З``, leading zeros stay,
and dots and slashes stay.
"""

import re
import unicodedata

_CYRILLIC = "АВЕКМНОРСТУХ"
_LATIN = "ABEKMHOPCTYX"
_TO_LATIN = str.maketrans(_CYRILLIC, _LATIN)
_TO_CYRILLIC = str.maketrans(_LATIN, _CYRILLIC)
_LETTERS = re.compile(r"[^\W\d_]+")
_LEFT_OUT = {"Zs", "Zl", "Zp", "Cc", "Cf", "Pd"}
_SIGNS = {"\u2212", "\u2043"}
_STEPS = 8
"""What is left out may bring letters together that make a new one; numbers of policies are done after the second."""
_USUAL = re.compile("[ -~А-Яа-яЁё\u00a0№]*\\Z")
"""Letters of both alphabets and ASCII: here the first two steps are one table, and once is enough."""
_USUAL_LEFT_OUT = {ord(letter): None for letter in " \u00a0-№"}


def number_key(number: str) -> str:
    """What two writings of one number have in common; empty when there is nothing in it."""
    if _USUAL.match(number):
        bare = number.upper().translate(_USUAL_LEFT_OUT)
        return bare if bare.isascii() else _LETTERS.sub(_in_one_alphabet, bare)
    # The sign for "number" would become "No" by the first step, and so a part of the number.
    text = number.replace("№", "")
    for _ in range(_STEPS):
        key = _LETTERS.sub(_in_one_alphabet, _bare(text))
        if key == text:
            break
        text = key
    return text


def _bare(text: str) -> str:
    text = unicodedata.normalize("NFKC", text).upper()
    return "".join(letter for letter in text if not _is_left_out(letter))


def padded(key: str, digits: int) -> str:
    """A key of digits alone with the leading zeros that a spreadsheet took away; any other as it is."""
    return key.zfill(digits) if key.isdigit() else key


def _is_left_out(letter: str) -> bool:
    return letter in _SIGNS or unicodedata.category(letter) in _LEFT_OUT


def _in_one_alphabet(found: re.Match[str]) -> str:
    run = found[0]
    only_latin = any("A" <= letter <= "Z" and letter not in _LATIN for letter in run)
    only_cyrillic = any("\u0400" <= letter <= "\u04ff" and letter not in _CYRILLIC for letter in run)
    if only_latin and only_cyrillic:
        return run
    return run.translate(_TO_CYRILLIC if only_cyrillic else _TO_LATIN)
