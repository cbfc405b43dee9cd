from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.auth import keys as module
from app.auth.keys import KeyStore, secret_digest
from app.catalog.engine import write_transaction
from app.catalog.migrate import recreate
from app.errors import SetupError


def test_a_token_has_256_random_bits_and_is_not_in_the_database(keys: KeyStore, tmp_path: Path) -> None:
    tokens = {keys.create(f"key {number}", frozenset({"read"})) for number in range(3)}
    assert len(tokens) == 3
    assert {len(token.removeprefix("hs_")) for token in tokens} == {43}
    assert {key.digest for key in keys.all()} == {secret_digest(token) for token in tokens}
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert not any(token.encode() in stored or token[3:].encode() in stored for token in tokens)


def test_a_key_has_the_scopes_that_it_was_created_with(keys: KeyStore) -> None:
    keys.create("ada", frozenset({"feedback", "read"}))
    [key] = keys.all()
    assert (key.name, key.scopes, key.used, key.revoked) == ("ada", frozenset({"read", "feedback"}), None, None)
    assert datetime.now(UTC) - key.created < timedelta(minutes=1)


@pytest.mark.parametrize("name", ["", " ada", "a\nb", "x" * 101])
def test_a_key_name_fits_on_a_printed_line(keys: KeyStore, name: str) -> None:
    with pytest.raises(SetupError, match="is not a valid key name"):
        keys.create(name, frozenset({"read"}))


def test_a_key_has_at_least_one_scope(keys: KeyStore) -> None:
    with pytest.raises(SetupError, match="without a scope"):
        keys.create("ada", frozenset())


def test_a_name_has_one_active_key(keys: KeyStore) -> None:
    keys.create("ada", frozenset({"read"}))
    with pytest.raises(SetupError, match="already"):
        keys.create("ada", frozenset({"operate"}))
    keys.revoke("ada")
    keys.create("ada", frozenset({"operate"}))
    assert [key.revoked is None for key in keys.all()] == [False, True]


def test_revoking_a_key_ends_its_sessions_and_no_others(keys: KeyStore) -> None:
    ada, bob = (secret_digest(keys.create(name, frozenset({"read"}))) for name in ("ada", "bob"))
    keys.begin_session(ada)
    secret = keys.begin_session(bob)
    keys.revoke("ada")
    assert [(session.digest, session.key) for session in keys.sessions()] == [(secret_digest(secret), bob)]


def test_an_unknown_key_can_not_be_revoked(keys: KeyStore) -> None:
    with pytest.raises(SetupError, match="no active key 'ada'"):
        keys.revoke("ada")


def test_a_session_expires(keys: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SESSION_HOURS", -1)
    keys.begin_session("key")
    assert keys.sessions() == []


def test_recreating_the_catalog_keeps_keys_and_sessions(keys: KeyStore) -> None:
    digest = secret_digest(keys.create("ada", frozenset({"read"})))
    keys.begin_session(digest)
    with write_transaction(keys._engine) as connection:
        recreate(connection)
    assert ([key.digest for key in keys.all()], len(keys.sessions())) == ([digest], 1)


def test_the_last_use_of_a_key_is_recorded(keys: KeyStore) -> None:
    keys.use(secret_digest(keys.create("ada", frozenset({"read"}))))
    [key] = keys.all()
    assert key.used is not None
    assert datetime.now(UTC) - key.used < timedelta(minutes=1)
