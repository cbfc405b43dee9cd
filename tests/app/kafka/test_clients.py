import re

from app.kafka import clients
from app.settings import CHECKOUT, Settings

MADE = re.compile(r"AIOKafka(Consumer|Producer|AdminClient|Client)\(")
OF_APPLICATIONS = "app/client/client.py"


def test_the_platforms_clients_are_made_in_one_place() -> None:
    sources = {path: path.read_text() for path in (CHECKOUT / "app").rglob("*.py")}
    found = {str(path.relative_to(CHECKOUT)) for path, text in sources.items() if MADE.search(text)}
    assert found == {"app/kafka/clients.py", OF_APPLICATIONS}


async def test_every_consumer_reads_what_is_committed(brokerless: Settings) -> None:
    consumer = clients.create_consumer(brokerless)
    assert consumer._isolation_level == "read_committed"
    await consumer.stop()
    text = (CHECKOUT / OF_APPLICATIONS).read_text()
    assert text.count("AIOKafkaConsumer(") == text.count('isolation_level="read_committed"') > 0
