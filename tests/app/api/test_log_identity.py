import httpx

from app.embedded.api_readiness import api_url
from app.events import topics
from app.kafka.topic_ids import fetch_topic_ids
from app.settings import Settings


async def test_the_log_has_the_id_of_its_first_topic(platform: Settings) -> None:
    ids = await fetch_topic_ids(platform, [topics.LIFECYCLE])
    async with httpx.AsyncClient(base_url=api_url(platform), trust_env=False) as http:
        assert (await http.get("/v1/log")).json() == {"id": ids[topics.LIFECYCLE]}


async def test_without_a_broker_the_log_is_not_known(http: httpx.AsyncClient) -> None:
    assert (await http.get("/v1/log")).status_code == 503
