"""Common Voice's layout (Ardila et al., LREC 2020): `validated.tsv`, and the recordings in `clips/` beside it."""

from collections.abc import Collection

COLUMNS = {"path", "sentence"}
NAMES = {"sentence": "label", "client_id": "entity"}
"""What its columns are called here."""
CLIPS = "clips/"


def choose_files(uris: Collection[str]) -> list[str]:
    """Return the files whose sentences were confirmed: `invalidated.tsv` and `other.tsv` are not."""
    by_name: dict[str, list[str]] = {}
    for uri in uris:
        by_name.setdefault(uri.rpartition("/")[2], []).append(uri)
    parts = [uri for name in ("train.tsv", "dev.tsv", "test.tsv") for uri in by_name.get(name, [])]
    return by_name.get("validated.tsv") or parts
