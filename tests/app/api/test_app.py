import httpx
import pytest
from pydantic import SecretStr

from app.api.app import create_app
from app.errors import SetupError
from app.settings import Settings
from tests.support.asgi_client import serve_app

GUARDED_PATHS = ["/metrics", "/docs", "/openapi.json", "/v1/feedback", "/v1/blobs", "/nothing"]


def with_key(settings: Settings) -> Settings:
    return settings.model_copy(update={"host": "0.0.0.0", "api_key": SecretStr("s3cret")})


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "example.org"])
def test_the_api_refuses_to_listen_to_other_machines_without_a_key(brokerless: Settings, host: str) -> None:
    with pytest.raises(SetupError, match="HINDSIGHT_API_KEY"):
        create_app(brokerless.model_copy(update={"host": host}))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_the_api_needs_no_key_on_this_machine(brokerless: Settings, host: str) -> None:
    create_app(brokerless.model_copy(update={"host": host}))


@pytest.mark.parametrize("path", GUARDED_PATHS)
@pytest.mark.parametrize("headers", [{}, {"X-API-Key": "wrong"}, {"X-API-Key": ""}, {"X-API-Key": "s3cret "[:5]}])
async def test_requests_without_the_right_key_are_refused(
    brokerless: Settings, path: str, headers: dict[str, str]
) -> None:
    async with serve_app(create_app(with_key(brokerless))) as http:
        response = await http.post(path, headers=headers, content=b"payload")
    assert response.status_code == 401
    assert response.json() == {"detail": "the X-API-Key header is missing or wrong"}


async def test_the_right_key_gives_access_and_healthz_needs_none(brokerless: Settings) -> None:
    async with serve_app(create_app(with_key(brokerless))) as http:
        assert (await http.get("/healthz")).json() == {"status": "alive"}
        assert (await http.get("/metrics", headers={"X-API-Key": "s3cret"})).status_code == 200


async def test_errors_are_json_with_their_reason(http: httpx.AsyncClient) -> None:
    assert (await http.get("/nothing")).json() == {"detail": "Not Found"}
    assert (await http.get("/v1/feedback")).json() == {"detail": "Method Not Allowed"}


async def test_the_allow_header_has_the_methods_of_all_routes_of_a_path(http: httpx.AsyncClient) -> None:
    response = await http.put("/v1/replays")
    assert (response.status_code, response.headers["allow"]) == (405, "GET, POST")
    assert (await http.get("/v1/retraining/ocr:cancel")).headers["allow"] == "POST"


@pytest.mark.parametrize("since", ["0.5", "2026-01-31", "2026-01-31T12:00:00", "0001-01-01T00:00:00+14:00"])
async def test_a_timestamp_must_be_complete_and_have_a_time_zone(http: httpx.AsyncClient, since: str) -> None:
    response = await http.get("/v1/dead-letters", params={"since": since})
    assert response.status_code == 422
    assert response.json()["detail"].startswith("since: ")


async def test_the_openapi_document_names_open_paths_and_error_responses(http: httpx.AsyncClient) -> None:
    paths = (await http.get("/openapi.json")).json()["paths"]
    open_paths = {
        path
        for path, operations in paths.items()
        if any("security" not in operation for operation in operations.values())
    }
    assert open_paths == {"/healthz", "/livez", "/readyz"}
    responses = paths["/v1/feedback"]["post"]["responses"]
    assert {"400", "401", "403", "413", "422", "503"} <= responses.keys()
    problem = {"$ref": "#/components/schemas/Problem"}
    schemas = [responses[status]["content"]["application/json"]["schema"] for status in ("400", "401", "422")]
    assert schemas == [problem] * 3


async def test_a_page_loads_only_from_this_server_and_the_login_keeps_its_own_policy(http: httpx.AsyncClient) -> None:
    policy = (await http.get("/docs")).headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "default-src 'none'" in (await http.get("/login")).headers["content-security-policy"]
