from collections.abc import AsyncIterator

import httpx
import pytest

from app.api.app import create
from app.settings import Settings
from tests.support.asgi_client import serving


@pytest.fixture
async def http(brokerless: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """The API without a broker."""
    async with serving(create(brokerless)) as client:
        yield client
