from pathlib import Path

import pytest

from app.settings import Settings
from tests.app.api.test_payload import serve_api
from tests.models.vision.test_previews import empty_pdf
from tests.support.recorded_requests import id_of, logged_request


async def test_a_page_of_a_pdf_is_a_picture_that_can_do_no_harm(brokerless: Settings, tmp_path: Path) -> None:
    async with serve_api(brokerless, tmp_path, logged_request("1", empty_pdf((144, 72), (72, 144)))) as http:
        response = await http.get(f"/v1/predictions/{id_of('1')}/pages/1?max_pixels=10000")
    assert (response.status_code, response.headers["content-type"]) == (200, "image/jpeg")
    sizes = [float(response.headers[f"x-page-{name}"]) for name in ("count", "width", "height")]
    assert sizes == [2, 72, 144]
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in response.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("request_id", "page", "status", "reason"),
    [
        ("1", 7, 404, "there is no page 7"),
        ("2", 0, 422, "no image file is known"),
        ("9", 0, 404, "no prediction"),
    ],
)
async def test_what_can_not_be_shown_is_refused_with_a_reason(
    brokerless: Settings, tmp_path: Path, request_id: str, page: int, status: int, reason: str
) -> None:
    requests = logged_request("1", empty_pdf((144, 72)), offset=0), logged_request("2", b"a text", offset=1)
    async with serve_api(brokerless, tmp_path, *requests) as http:
        response = await http.get(f"/v1/predictions/{id_of(request_id)}/pages/{page}")
    assert response.status_code == status
    assert reason in response.json()["detail"]
