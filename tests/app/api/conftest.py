from collections.abc import AsyncIterator

import httpx
import pytest

from app.api.app import create_app
from app.settings import Settings
from tests.support.asgi_client import serve_app


@pytest.fixture
async def http(brokerless: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """The API without a broker."""
    async with serve_app(create_app(brokerless)) as client:
        yield client
