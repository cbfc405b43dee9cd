"""Published packages: fetch one as the ordinary client of its index would, and read files in it."""

from pathlib import Path

from app.system.packages import npm, pypi
from app.system.packages.archive import read_members
from app.system.packages.progress import OnBytes
from models.manifest import Package

__all__ = ["OnBytes", "download_package", "read_members"]


def download_package(package: Package, folder: Path, on_bytes: OnBytes) -> Path:
    """Fetch a package's archive into a folder of its own and return its path. Raises `SetupError`, OSError."""
    if package.index == "npm":
        return npm.download(package.name, folder, on_bytes)
    return pypi.download(package.name, package.platform, folder, on_bytes)
