import httpx
import pytest

BODY = {"actor": "ada"}


@pytest.mark.parametrize(
    "path", ["/v1/retraining", "/v1/retraining/ocr/triggers", "/v1/retraining/ocr/comparison", "/v1/models"]
)
async def test_without_a_broker_the_client_is_told_to_retry(http: httpx.AsyncClient, path: str) -> None:
    response = await http.get(path)
    assert response.status_code == 503
    assert response.headers["Retry-After"]


async def test_a_run_does_not_start_without_a_broker(http: httpx.AsyncClient) -> None:
    assert (await http.post("/v1/retraining/ocr", json=BODY)).status_code == 503


@pytest.mark.parametrize("path", ["/v1/retraining/none", "/v1/retraining/none:cancel"])
async def test_an_unknown_task_is_refused_with_the_known_tasks(http: httpx.AsyncClient, path: str) -> None:
    response = await http.post(path, json=BODY)
    assert response.status_code == 404
    assert response.json()["detail"] == "There is no task 'none'. Choose one of: ocr."


async def test_a_run_without_a_key_needs_an_actor(http: httpx.AsyncClient) -> None:
    response = await http.post("/v1/retraining/ocr", json={})
    assert (response.status_code, response.json()["detail"]) == (
        422,
        "actor: Field required, because the request has no key with a name",
    )


async def test_there_is_no_comparison_of_an_unknown_task(http: httpx.AsyncClient) -> None:
    assert (await http.get("/v1/retraining/none/comparison")).status_code == 404
