"""Keys as the authenticator knows them, seen from an application behind it."""

import pytest

from app.auth.keys import KeyStore, secret_digest
from app.auth.scopes import SCOPES, Caller
from app.errors import Unavailable
from tests.support.guarded_app import guarded_app


async def test_on_this_machine_everything_is_open_while_there_are_no_keys(keys: KeyStore) -> None:
    async with guarded_app(keys) as guarded:
        assert (await guarded.http.post("/v1/feedback")).status_code == 200
    assert guarded.app.callers == [Caller(None, frozenset(SCOPES))]


@pytest.mark.parametrize("revoked", [False, True])
async def test_the_first_key_locks_the_application_for_good(keys: KeyStore, revoked: bool) -> None:
    keys.create("ada", frozenset({"read"}))
    if revoked:
        keys.revoke("ada")
    async with guarded_app(keys) as guarded:
        assert (await guarded.http.get("/v1/models")).status_code == 401
    assert guarded.app.callers == []


async def test_an_application_that_others_can_reach_is_locked_without_any_key(keys: KeyStore) -> None:
    async with guarded_app(keys, open_without_keys=False) as guarded:
        assert (await guarded.http.get("/v1/models")).status_code == 401


async def test_the_local_key_has_all_scopes_and_no_name_and_may_have_any_characters(keys: KeyStore) -> None:
    async with guarded_app(keys, open_without_keys=False, local_key="schlüssel") as guarded:
        response = await guarded.http.get("/v1/models", headers=[(b"X-API-Key", "schlüssel".encode())])
        assert response.status_code == 200
    assert guarded.app.callers == [Caller(None, frozenset(SCOPES))]


async def test_keys_that_are_created_or_revoked_meanwhile_count(
    keys: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.auth.authenticator.CACHE_SECONDS", 0.0)
    async with guarded_app(keys) as guarded:
        assert (await guarded.http.get("/v1/models")).status_code == 200
        headers = {"X-API-Key": keys.create("ada", frozenset({"read"}))}
        assert (await guarded.http.get("/v1/models")).status_code == 401
        assert (await guarded.http.get("/v1/models", headers=headers)).status_code == 200
        keys.revoke("ada")
        assert (await guarded.http.get("/v1/models", headers=headers)).status_code == 401


async def test_a_new_key_works_at_once_though_the_snapshot_is_older(keys: KeyStore) -> None:
    keys.create("bob", frozenset({"read"}))
    async with guarded_app(keys) as guarded:
        assert (await guarded.http.get("/v1/models")).status_code == 401
        token = keys.create("ada", frozenset({"read"}))
        assert (await guarded.http.get("/v1/models", headers={"X-API-Key": token})).status_code == 200


def fail_to_read() -> None:
    raise Unavailable("the database is unavailable")


async def test_while_the_database_is_unavailable_the_last_snapshot_holds(
    keys: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.auth.authenticator.CACHE_SECONDS", 0.0)
    headers = {"X-API-Key": keys.create("ada", frozenset({"read"}))}
    async with guarded_app(keys) as guarded:
        assert (await guarded.http.get("/v1/models", headers=headers)).status_code == 200
        monkeypatch.setattr(keys, "all", fail_to_read)
        assert (await guarded.http.get("/v1/models", headers=headers)).status_code == 200
        assert (await guarded.http.get("/v1/models", headers={"X-API-Key": "hs_x"})).status_code == 401


async def test_without_any_snapshot_only_the_local_key_works(keys: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "all", fail_to_read)
    async with guarded_app(keys, local_key="s3cret") as guarded:
        assert (await guarded.http.get("/v1/models", headers={"X-API-Key": "s3cret"})).status_code == 200
        response = await guarded.http.get("/v1/models", headers={"X-API-Key": "hs_x"})
    assert (response.status_code, response.headers["retry-after"]) == (503, "2")


async def test_the_use_of_a_key_is_recorded_once_in_a_while(keys: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[str] = []
    use = keys.use

    def record_use(digest: str) -> None:
        used.append(digest)
        use(digest)

    monkeypatch.setattr(keys, "use", record_use)
    token = keys.create("ada", frozenset({"read"}))
    async with guarded_app(keys) as guarded:
        for _ in range(3):
            await guarded.http.get("/v1/models", headers={"X-API-Key": token})
            for task in list(guarded.authenticator._recording_tasks):
                await task
    assert used == [secret_digest(token)]
