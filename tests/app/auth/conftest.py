from collections.abc import Iterator
from pathlib import Path

import pytest

from app.auth.keys import KeyStore


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[KeyStore]:
    store = KeyStore(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    yield store
    store.close()
