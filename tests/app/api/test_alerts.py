import httpx


async def test_alerts_without_a_task_start_no_run(http: httpx.AsyncClient) -> None:
    alert = {"status": "firing", "labels": {"alertname": "DiskFull"}, "startsAt": "2026-01-31T12:00:00Z"}
    response = await http.post("/v1/alerts", json={"version": "4", "alerts": [alert]})
    assert (response.status_code, response.json()) == (200, {"run_ids": []})
