"""What an image is made of, as CycloneDX 1.6: packages of Debian, Go modules, Python distributions, jars, crates."""

import json
import re
import subprocess
import tomllib
import uuid
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cluster.fetching import PartFailed
from deploy.images.debian import VERSION, Package

_NAMESPACE = uuid.UUID("5b0c7a2e-0a53-5f0e-9a0e-1c5b8d1f4a11")


@dataclass(frozen=True, order=True)
class Component:
    """One part: its package URL (purl) says of which kind it is; ``checksum`` is a SHA-256 where one is known."""

    purl: str
    name: str
    version: str
    checksum: str = ""

    def document(self) -> dict[str, Any]:
        hashes = {"hashes": [{"alg": "SHA-256", "content": self.checksum}]} if self.checksum else {}
        kept = {"type": "library", "bom-ref": self.purl, "name": self.name, "version": self.version}
        return {**kept, "purl": self.purl, **hashes}


def of_debian(packages: Iterable[Package]) -> list[Component]:
    """Packages as Debian names them."""
    place = f"arch=amd64&distro=debian-{VERSION}"
    return [
        Component(f"pkg:deb/debian/{quote(one.name)}@{quote(one.version)}?{place}", one.name, one.version, one.checksum)
        for one in packages
    ]


def of_go(program: Path) -> list[Component]:
    """The modules that a compiled program says it holds."""
    said = subprocess.run(("go", "version", "-m", str(program)), capture_output=True, text=True, check=False)
    if said.returncode:
        raise PartFailed(f"{program} does not tell its modules: {said.stderr.strip()}")
    found: list[Component] = []
    for line in said.stdout.splitlines():
        match line.split():
            case ["dep" | "=>", name, version, *_]:
                if line.split()[0] == "=>":
                    found.pop()  # the line before was replaced by this one
                found.append(Component(f"pkg:golang/{name}@{quote(version)}", name, version))
            case _:
                continue
    return found


def of_python(found: Iterable[tuple[str, str]]) -> list[Component]:
    """Distributions by name and version; names become normal ones (PEP 503)."""
    normal = ((re.sub(r"[-_.]+", "-", name).lower(), version) for name, version in found)
    return [Component(f"pkg:pypi/{name}@{quote(version)}", name, version) for name, version in normal]


def of_jars(jars: Iterable[Path], checksums: dict[str, str]) -> list[Component]:
    """Jars by the coordinates they carry, or else by their file's name."""
    return [_jar(jar, checksums[jar.name]) for jar in sorted(jars)]


def _jar(jar: Path, checksum: str) -> Component:
    stem = re.fullmatch(r"(.+?)-(\d[\w.+-]*)\.jar", jar.name)
    name, version, group = (stem[1], stem[2], "") if stem else (jar.stem, "", "")
    with zipfile.ZipFile(jar) as archive:
        for path in archive.namelist():
            if re.fullmatch(rf"META-INF/maven/[^/]+/{re.escape(name)}/pom\.properties", path):
                group = path.split("/")[2]
    return Component(f"pkg:maven/{f'{group}/' if group else ''}{name}@{version}", name, version, checksum)


def of_crates(lock: str) -> list[Component]:
    """All packages of a Cargo.lock."""
    return [
        Component(f"pkg:cargo/{one['name']}@{quote(one['version'])}", one["name"], one["version"], one["checksum"])
        for one in tomllib.loads(lock)["package"]
        if "checksum" in one
    ]


def document(reference: str, digest: str, components: Iterable[Component]) -> bytes:
    """The whole; the same parts give the same bytes, so it carries no time."""
    parts = [one.document() for one in sorted(set(components))]
    name, _, tag = reference.rpartition(":")
    purl = f"pkg:oci/{name.rpartition('/')[2]}@{quote(digest)}"
    content: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {"type": "container", "bom-ref": purl, "name": name, "version": tag, "purl": purl},
        },
        "components": parts,
    }
    content["serialNumber"] = f"urn:uuid:{uuid.uuid5(_NAMESPACE, json.dumps(content, sort_keys=True))}"
    return json.dumps(content, sort_keys=True, indent=1, ensure_ascii=False).encode()
