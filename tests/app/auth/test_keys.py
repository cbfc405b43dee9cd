from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.auth import keys as module
from app.auth.keys import KeyStore, secret_digest
from app.catalog.engine import write_transaction
from app.catalog.migrate import recreate
from app.errors import SetupError


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[KeyStore]:
    found = KeyStore(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    yield found
    found.close()


def test_a_token_has_256_random_bits_and_is_nowhere_in_the_database(keys: KeyStore, tmp_path: Path) -> None:
    tokens = {keys.create(f"key {number}", frozenset({"read"})) for number in range(3)}
    assert len(tokens) == 3
    assert {len(token.removeprefix("hs_")) for token in tokens} == {43}
    assert {key.digest for key in keys.all()} == {secret_digest(token) for token in tokens}
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert not any(token.encode() in stored or token[3:].encode() in stored for token in tokens)


def test_a_key_has_the_scopes_that_it_was_given(keys: KeyStore) -> None:
    keys.create("ada", frozenset({"feedback", "read"}))
    [key] = keys.all()
    assert (key.name, key.scopes, key.used, key.revoked) == ("ada", frozenset({"read", "feedback"}), None, None)
    assert datetime.now(UTC) - key.created < timedelta(minutes=1)


@pytest.mark.parametrize("name", ["", " ada", "a\nb", "x" * 101])
def test_a_name_can_be_printed_on_a_line(keys: KeyStore, name: str) -> None:
    with pytest.raises(SetupError, match="is no name"):
        keys.create(name, frozenset({"read"}))


def test_a_key_has_at_least_one_scope(keys: KeyStore) -> None:
    with pytest.raises(SetupError, match="without a scope"):
        keys.create("ada", frozenset())


def test_of_one_name_there_is_one_key_at_a_time(keys: KeyStore) -> None:
    keys.create("ada", frozenset({"read"}))
    with pytest.raises(SetupError, match="already"):
        keys.create("ada", frozenset({"operate"}))
    keys.revoke("ada")
    keys.create("ada", frozenset({"operate"}))
    assert [key.revoked is None for key in keys.all()] == [False, True]


def test_a_revoked_key_takes_its_sessions_with_it_and_no_others(keys: KeyStore) -> None:
    ada, bob = (secret_digest(keys.create(name, frozenset({"read"}))) for name in ("ada", "bob"))
    keys.begin_session(ada)
    kept = keys.begin_session(bob)
    keys.revoke("ada")
    assert [(one.digest, one.key) for one in keys.sessions()] == [(secret_digest(kept), bob)]


def test_what_is_no_key_can_not_be_revoked(keys: KeyStore) -> None:
    with pytest.raises(SetupError, match="no key 'ada'"):
        keys.revoke("ada")


def test_a_session_ends_by_itself(keys: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SESSION_HOURS", -1)
    keys.begin_session("key")
    assert keys.sessions() == []


def test_the_catalog_made_anew_leaves_keys_and_sessions_alone(keys: KeyStore) -> None:
    key = secret_digest(keys.create("ada", frozenset({"read"})))
    keys.begin_session(key)
    with write_transaction(keys._engine) as connection:
        recreate(connection)
    assert ([one.digest for one in keys.all()], len(keys.sessions())) == ([key], 1)


def test_the_last_use_is_noted(keys: KeyStore, tmp_path: Path) -> None:
    key = secret_digest(keys.create("ada", frozenset({"read"})))
    keys.use(key)
    [found] = keys.all()
    assert found.used is not None
    assert datetime.now(UTC) - found.used < timedelta(minutes=1)
