import re

import httpx
import pytest


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
async def test_the_pages_of_the_api_need_no_network(http: httpx.AsyncClient, path: str) -> None:
    page = await http.get(path)
    urls = re.findall(r"""(?:src|href)=["']([^"']+)["']""", page.text)
    assert any(url.endswith(".js") for url in urls)
    assert all(url.startswith("/") for url in urls)
    assert {(await http.get(url)).status_code for url in urls} == {200}
    assert "//" not in re.sub(r"<!--.*?-->", "", page.text, flags=re.DOTALL)
