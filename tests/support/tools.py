"""Programs that tests need on PATH. A test without its program fails, so that no test is skipped unnoticed."""

import os
import shutil

import pytest

PACKAGES = {
    "amtool": "prometheus-alertmanager",
    "buildah": "buildah",
    "chromium": "chromium",
    "espeak-ng": "espeak-ng",
    "kcat": "kcat",
    "mmdebstrap": "mmdebstrap",
    "podman": "podman",
    "prometheus": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "promtool": "prometheus",
    "runc": "runc",
}
"""The Debian package of each program. `.ci/run` installs those that `make test` needs."""
_NAMES = {
    "chromium": (os.environ.get("CHROMIUM", "chromium"), "google-chrome"),
    "prometheus-alertmanager": ("prometheus-alertmanager", "alertmanager"),
}


def find_program(program: str) -> str | None:
    """Return the path of a program. CHROMIUM=/path/to/it names a browser that is not on PATH."""
    return next(filter(None, map(shutil.which, _NAMES.get(program, (program,)))), None)


def require_programs(*programs: str) -> None:
    """Fail the test if one of the programs is missing."""
    if missing := [program for program in programs if find_program(program) is None]:
        packages = sorted({PACKAGES[program] for program in missing})
        pytest.fail(f"not on PATH: {', '.join(missing)}. Remedy: apt install {' '.join(packages)}", pytrace=False)
