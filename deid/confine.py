"""What a process gives up before it reads bytes of strangers: network, core files, new privileges, life after its parent.

Standard library alone, and late: it is called in a child that is about to read, by `deid.isolated` and by the rooms above.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
from pathlib import Path

# Only these variables cross into a child: no address, no password and no key of the parent's environment does.
PASSED = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH", "LD_LIBRARY_PATH")
# One thread a child: `jobs` says how many cores work, and sums come out the same whatever the machine. No home: a library that keeps a cache or a diary
# (onnxruntime does) finds no place for it, whoever runs us.
FIXED = {**dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"), "PYTHONHASHSEED": "0", "HOME": "/dev/null"}


def confine(*, network: bool = False) -> None:
    """Confine this process for good (Linux): no core file, no new privileges, no life after the parent, and unless `network`, no network."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    if not network:
        leave_network(libc)
    pr_set_pdeathsig, pr_set_no_new_privs = 1, 38
    libc.prctl(pr_set_pdeathsig, signal.SIGKILL, 0, 0, 0)
    libc.prctl(pr_set_no_new_privs, 1, 0, 0, 0)
    # A child takes part of its parent's share of memory trouble first: the parent has the bookkeeping.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")
    os.umask(0o077)
    # Python ignores SIGXFSZ; then an oversized write would be an OSError that a library may swallow.
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)


def leave_network(libc: ctypes.CDLL) -> None:
    """Move to a network namespace in which there is nothing, as root or in a user namespace of one's own; some machines allow neither."""
    clone_newuser, clone_newnet = 0x10000000, 0x40000000
    user, group = os.getuid(), os.getgid()
    if libc.unshare(clone_newnet) == 0 or libc.unshare(clone_newuser | clone_newnet) != 0:
        return
    with contextlib.suppress(OSError):
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
