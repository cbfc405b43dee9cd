import httpx
import pytest
from pydantic import SecretStr

from app.api.app import create_app
from app.errors import SetupError
from app.settings import Settings
from tests.support.asgi_client import serve_app

KEYED = ["/metrics", "/docs", "/openapi.json", "/v1/feedback", "/v1/blobs", "/nothing"]


def with_key(settings: Settings) -> Settings:
    return settings.model_copy(update={"host": "0.0.0.0", "api_key": SecretStr("s3cret")})


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "example.org"])
def test_it_refuses_to_be_reached_by_others_without_a_key(brokerless: Settings, host: str) -> None:
    with pytest.raises(SetupError, match="HINDSIGHT_API_KEY"):
        create_app(brokerless.model_copy(update={"host": host}))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_it_needs_no_key_on_this_machine(brokerless: Settings, host: str) -> None:
    create_app(brokerless.model_copy(update={"host": host}))


@pytest.mark.parametrize("path", KEYED)
@pytest.mark.parametrize("headers", [{}, {"X-API-Key": "wrong"}, {"X-API-Key": ""}, {"X-API-Key": "s3cret "[:5]}])
async def test_without_the_right_key_nothing_is_answered(
    brokerless: Settings, path: str, headers: dict[str, str]
) -> None:
    async with serve_app(create_app(with_key(brokerless))) as http:
        response = await http.post(path, headers=headers, content=b"payload")
    assert response.status_code == 401
    assert response.json() == {"detail": "the X-API-Key header is missing or wrong"}


async def test_the_right_key_opens_and_healthz_needs_none(brokerless: Settings) -> None:
    async with serve_app(create_app(with_key(brokerless))) as http:
        assert (await http.get("/healthz")).json() == {"status": "alive"}
        assert (await http.get("/metrics", headers={"X-API-Key": "s3cret"})).status_code == 200


async def test_errors_are_json_with_their_reason(http: httpx.AsyncClient) -> None:
    assert (await http.get("/nothing")).json() == {"detail": "Not Found"}
    assert (await http.get("/v1/feedback")).json() == {"detail": "Method Not Allowed"}


async def test_what_a_path_is_for_is_said_of_all_its_routes(http: httpx.AsyncClient) -> None:
    refused = await http.put("/v1/replays")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, POST")
    assert (await http.get("/v1/retraining/ocr:cancel")).headers["allow"] == "POST"


@pytest.mark.parametrize("since", ["0.5", "2026-01-31", "2026-01-31T12:00:00", "0001-01-01T00:00:00+14:00"])
async def test_a_moment_is_written_in_full(http: httpx.AsyncClient, since: str) -> None:
    refused = await http.get("/v1/dead-letters", params={"since": since})
    assert refused.status_code == 422
    assert refused.json()["detail"].startswith("since: ")


async def test_the_description_says_what_is_answered_without_a_key(http: httpx.AsyncClient) -> None:
    paths = (await http.get("/openapi.json")).json()["paths"]
    open_paths = {path for path, methods in paths.items() if any("security" not in one for one in methods.values())}
    assert open_paths == {"/healthz", "/livez", "/readyz"}
    answers = paths["/v1/feedback"]["post"]["responses"]
    assert {"400", "401", "403", "413", "422", "503"} <= answers.keys()
    problem = {"$ref": "#/components/schemas/Problem"}
    assert all(answers[status]["content"]["application/json"]["schema"] == problem for status in ("400", "401", "422"))


async def test_a_page_may_load_from_here_only_and_a_payload_keeps_its_own_policy(http: httpx.AsyncClient) -> None:
    policy = (await http.get("/docs")).headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "default-src 'none'" in (await http.get("/login")).headers["content-security-policy"]
