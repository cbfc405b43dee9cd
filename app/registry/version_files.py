"""The files of a version in blob storage: each by its content, so that what versions share is stored once."""

from pathlib import Path

from app.registry.packaged_version import COMMAND
from app.registry.registry import ModelVersion
from app.settings import Settings
from app.storage.blobs import BlobStore
from models.base import Rejected
from models.manifest import MANIFEST, Manifest, VersionFiles, place_version, write_version


def store_version(path: Path, blobs: BlobStore) -> str:
    """Store the files of the version at `path`, the manifest last; return the URI that leads to all of them.

    It is that of the ONNX file, or of the manifest. Raises OSError while the storage is unavailable.
    """
    if path.name == MANIFEST:
        files = VersionFiles.of(path)
        for name, entry in files.manifest.files.items():
            if not blobs.exists(_uri(entry.sha256)):
                blobs.put(files.path(name).read_bytes())
    return blobs.put(path.read_bytes())


def fetch_version(version: ModelVersion, blobs: BlobStore, settings: Settings, directory: Path) -> Path:
    """Let a version's files appear in a directory; return its path there, which appears last.

    Raises OSError while the storage is unavailable, `Rejected` if a blob is missing or the manifest is invalid.
    """
    directory.mkdir(parents=True, exist_ok=True)
    try:
        if version.registration is None:
            return _place_shipped(Path(version.artifact), directory)
        content = blobs.get(version.artifact, settings.max_blob_bytes)
        files = Manifest.parse(content).files if content.startswith(b"{") else {}
        contents = {name: blobs.get(_uri(file.sha256), settings.max_blob_bytes) for name, file in files.items()}
        return write_version(directory, content, contents, None)
    except ValueError as error:
        raise error if isinstance(error, Rejected) else Rejected("bad_manifest", str(error)) from error


def _place_shipped(path: Path, directory: Path) -> Path:
    try:
        return place_version(path, directory)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error.filename} is not there; `{COMMAND}` fetches it") from error


def _uri(sha256: str) -> str:
    return f"blob://sha256/{sha256}"
