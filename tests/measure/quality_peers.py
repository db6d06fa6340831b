"""MRIQC and TorchIO beside us, each in an environment of its own under build/peers/, asked for plain arrays and never installed into ours.

MRIQC 24.0.2 asks for torch, templates and a workflow engine that its measures do not need, so it comes with --no-deps and what its functions import.
TorchIO borrows the torch of the project's own environment (a .pth file), because it would bring CUDA otherwise. `quality_peer_work.py` has the calls.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from peers import HOME, NotRun

WORK = Path(__file__).with_name("quality_peer_work.py")
PINS = {
    "mriqc": """acres==0.5.0 astor==0.8.1 bids-validator==1.14.7.post0 bidsschematools==2.0.1 click==8.5.1 docopt==0.6.2 filelock==4.3.1 formulaic==0.5.2
    fsspec==2026.9.0 interface_meta==2.0.1 joblib==1.6.0 looseversion==1.3.0 mriqc==24.0.2 nibabel==5.2.1 nipype==1.8.6 nitime==0.10.2 niworkflows==1.14.5
    num2words==0.5.14 numpy==1.26.4 orjson==3.13.0 packaging==26.4 pandas==2.2.3 pathlib_abc==0.5.2 platformdirs==4.14.8 prov==3.2.3 pybids==0.17.2
    python-dateutil==4.0.0 pytz==2026.6 PyYAML==6.0.4 scikit-learn==1.4.2 scipy==1.11.4 simplejson==4.3.0 SQLAlchemy==2.1.9 statsmodels==0.14.4
    templateflow==25.1.2 threadpoolctl==3.8.0 traits==6.4.3 typing_extensions==4.16.0 tzdata==2026.6 universal_pathlib==0.3.10 wrapt==2.5.2
    cloudpickle==3.1.3 patsy==1.0.3""",
    "torchio": "torchio==1.2.1 SimpleITK==2.5.7 deprecated==1.3.1 einops==0.8.2 humanize==4.17.0 jaxtyping==0.3.11 tqdm==4.70.1 wrapt==2.5.2",
}


def made(peer: str) -> bool:
    """Whether the peer's environment is there already, as it is pinned now."""
    ready = HOME / peer / ".ready"
    return ready.exists() and ready.read_text() == " ".join(PINS[peer].split())


def python_of(peer: str) -> Path:
    """The peer's own interpreter, made if it is not there. Raises NotRun where it cannot be made."""
    folder, pins = HOME / peer, PINS[peer].split()
    python, ready = folder / "bin" / "python", folder / ".ready"
    if made(peer):
        return python
    HOME.mkdir(parents=True, exist_ok=True)
    words = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps", *pins]
    for command in ([sys.executable, "-m", "venv", str(folder)], words):
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
        if done.returncode:
            raise NotRun(f"{peer} could not be installed: {(done.stderr.strip() or 'no reason given').splitlines()[-1][:120]}")
    if peer == "torchio":
        borrowed = folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages" / "borrowed.pth"
        borrowed.write_text(sysconfig.get_paths()["purelib"] + "\n")
    ready.write_text(" ".join(pins))
    return python


def ask(peer: str, what: str, arrays: Path, *, seconds: float = 900) -> dict[str, Any]:
    """Run one call of quality_peer_work over a .npz file, one thread; what it printed as JSON. Raises NotRun."""
    python = python_of(peer)
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    offline = {"NO_ET": "1", "NIPYPE_NO_ET": "1", "TEMPLATEFLOW_HOME": str(HOME / "templateflow"), "TEMPLATEFLOW_AUTOUPDATE": "0"}
    try:
        done = subprocess.run(
            [str(python), "-P", str(WORK), what, str(arrays)],
            capture_output=True,
            text=True,
            check=False,
            env=clean | threads | offline,
            cwd=arrays.parent,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        raise NotRun(f"{peer} took longer than {seconds / 60:.0f} min") from None
    if done.returncode:
        raise NotRun(f"{peer}, exit {done.returncode}: {(done.stderr.strip() or '-').splitlines()[-1][:120]}")
    said: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return said
