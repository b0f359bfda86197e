"""Run as a script between us and a PostgreSQL program: makes it safe to be our child, then becomes it.

    python -I -S postgres_launcher.py <parent pid> <own folder>… -- <program> <argument>…

Three things are done here and not in ``subprocess``'s ``preexec_fn``, which is unsafe once threads run:

- a process group of its own, so that Ctrl-C in a terminal reaches us alone and we stop the database last;
- the kernel stops the program when the thread that started it ends (``PR_SET_PDEATHSIG``), also by SIGKILL;
- PostgreSQL refuses to run as root, so root becomes someone else. Who: the owner of the folders when that is not root;
  else a user namespace in which root bears the name of a system user, so that files stay root's; and where
  namespaces are refused, the system user ``postgres`` or ``nobody``, who is given the folders.

Imports nothing of ours and little of Python's: it is on the way of every start.
"""

import ctypes
import os
import pwd
import signal
import sys

CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1
REFUSED = 77  # exit code of "cannot become the right user"; EX_NOPERM of sysexits.h


def main(arguments: list[str]) -> None:
    """Prepare this process and replace it by the program; never returns."""
    divider = arguments.index("--")
    parent, folders, command = int(arguments[0]), arguments[1:divider], arguments[divider + 1 :]
    libc = ctypes.CDLL(None, use_errno=True)
    os.setpgid(0, 0)
    os.umask(0o077)
    if os.geteuid() == 0:
        stop_being_root(libc, folders)
    # After the change of user, which would clear it.
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGQUIT, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(REFUSED)
    os.execv(command[0], command)  # noqa: S606 - the very purpose of this file


def stop_being_root(libc: ctypes.CDLL, folders: list[str]) -> None:
    """Take on the identity that PostgreSQL accepts and that owns its folders."""
    owner, group = os.stat(folders[0]).st_uid, os.getegid()  # noqa: PTH116 - pathlib would double the time to start
    if owner:
        become(owner, folders)
    elif libc.unshare(CLONE_NEWUSER) == 0:
        map_root_to_a_system_user(group)
    else:
        become(system_user().pw_uid, folders)


def map_root_to_a_system_user(group: int) -> None:
    """Inside the new namespace root bears the first system user's name, as initdb wants one that it can look up."""
    inside = next(entry for entry in pwd.getpwall() if entry.pw_uid)
    for name, content in (
        ("setgroups", "deny"),
        ("uid_map", f"{inside.pw_uid} 0 1"),
        ("gid_map", f"{inside.pw_gid} {group} 1"),
    ):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:  # noqa: PTH123 - see above
            file.write(content)


def system_user() -> pwd.struct_passwd:
    """The first of the usual unprivileged users that this machine has."""
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    return next(entry for entry in pwd.getpwall() if entry.pw_uid)


def become(uid: int, folders: list[str]) -> None:
    """Give the folders to the user and be that user for good."""
    gid = pwd.getpwuid(uid).pw_gid
    for folder in folders:
        give(folder, uid, gid)
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    for folder in folders:
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            name = pwd.getpwuid(uid).pw_name
            sys.stderr.write(
                f"PostgreSQL does not run as root, and the user {name} cannot reach {folder}: "
                "choose a folder whose parents everybody may enter, or do not run as root\n"
            )
            sys.exit(REFUSED)


def give(folder: str, uid: int, gid: int) -> None:
    """Make the user the owner of a folder and all in it, unless it is already."""
    if os.stat(folder).st_uid == uid:  # noqa: PTH116 - see above
        return
    for path, _, files in os.walk(folder, topdown=False):
        for name in files:
            os.lchown(os.path.join(path, name), uid, gid)  # noqa: PTH118 - see above
        os.lchown(path, uid, gid)


if __name__ == "__main__":
    main(sys.argv[1:])
