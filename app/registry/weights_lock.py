"""Write the checksums of packaged files into manifests: `python -m app.registry.weights_lock models/ocr/versions/1`.

An entry needs only its `package` before.
"""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from app.errors import SetupError
from app.registry.packaged_files import read_packaged_files
from models.manifest import MANIFEST, Manifest, listed

_UNKNOWN = {"sha256": "0" * 64, "bytes": 0}


def lock_manifest(folder: Path) -> None:
    """Fetch the packages that a manifest names, and write the files' sha256 and sizes into it. Raises `SetupError`."""
    path = folder / MANIFEST
    try:
        fields = json.loads(path.read_bytes())
        fields["files"] = {name: _UNKNOWN | entry for name, entry in fields["files"].items()}
        manifest = Manifest.parse(json.dumps(fields).encode())
        files = dict(manifest.files)
        files |= listed({name: (folder / name).read_bytes() for name, file in files.items() if file.package is None})
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        remedy = "Write `files` with a `package` for each, except those beside the manifest."
        raise SetupError(f"{path} can't be locked: {error}", remedy) from error
    with TemporaryDirectory() as directory:
        for name, file, content in read_packaged_files(files, Path(directory), Console(stderr=True)):
            files[name] = listed({name: content})[name].model_copy(update={"package": file.package})
            print(f"{name} {files[name].sha256} {files[name].bytes}")
    path.write_bytes(manifest.model_copy(update={"files": files}).content())


def main(folders: list[str]) -> int:
    """Lock the manifest in each folder. Return the exit code."""
    try:
        for folder in folders:
            lock_manifest(Path(folder))
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
