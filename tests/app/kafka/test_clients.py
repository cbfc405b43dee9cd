import re

from app.kafka import clients
from app.settings import CHECKOUT, Settings

CONSTRUCTOR = re.compile(r"AIOKafka(Consumer|Producer|AdminClient|Client)\(")
APPLICATION_CLIENT = {"app/client/client.py", "app/client/answers.py"}


def test_the_platforms_clients_are_created_in_one_module() -> None:
    sources = {path: path.read_text() for path in (CHECKOUT / "app").rglob("*.py")}
    modules = {str(path.relative_to(CHECKOUT)) for path, text in sources.items() if CONSTRUCTOR.search(text)}
    assert modules == {"app/kafka/clients.py", *APPLICATION_CLIENT}


async def test_every_consumer_reads_committed_records_only(brokerless: Settings) -> None:
    consumer = clients.create_consumer(brokerless)
    assert consumer._isolation_level == "read_committed"
    await consumer.stop()
    text = "".join((CHECKOUT / module).read_text() for module in APPLICATION_CLIENT)
    assert text.count("AIOKafkaConsumer(") == text.count('isolation_level="read_committed"') > 0
