import httpx
import pytest

WANTED = {"actor": "ada"}


@pytest.mark.parametrize("path", ["/v1/retraining", "/v1/retraining/ocr/triggers", "/v1/models"])
async def test_without_a_broker_it_is_said_to_be_away(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.get(path)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]


async def test_a_run_does_not_begin_without_a_broker(http: httpx.AsyncClient) -> None:
    assert (await http.post("/v1/retraining/ocr", json=WANTED)).status_code == 503


@pytest.mark.parametrize("path", ["/v1/retraining/none", "/v1/retraining/none:cancel"])
async def test_a_task_that_is_not_there_is_said_with_those_that_are(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.post(path, json=WANTED)
    assert answer.status_code == 404
    assert answer.json()["detail"] == "there is no task 'none'; known: ocr"


async def test_who_wants_a_run_is_asked_for(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/retraining/ocr", json={})
    assert (answer.status_code, answer.json()["detail"]) == (422, "actor: Field required")


async def test_alerts_of_no_task_begin_nothing(http: httpx.AsyncClient) -> None:
    alert = {"status": "firing", "labels": {"alertname": "DiskFull"}, "startsAt": "2026-01-31T12:00:00Z"}
    answer = await http.post("/v1/alerts", json={"version": "4", "alerts": [alert]})
    assert (answer.status_code, answer.json()) == (200, {"run_ids": []})
