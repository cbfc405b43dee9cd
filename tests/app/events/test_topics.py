from app.events.topics import required_topics
from app.settings import MiB, Settings


def test_every_task_has_its_topics_and_all_share_two() -> None:
    settings = Settings(tasks={"ocr": "", "letters": ""}, partitions=5, max_payload_bytes=2 * MiB)
    limits = {topic.name: (topic.partitions, topic.max_message_bytes // MiB) for topic in required_topics(settings)}
    assert limits == {
        "dead-letters": (1, 8),
        "lifecycle": (1, 1),
        "ocr.requests": (5, 2),
        "ocr.features": (5, 4),
        "ocr.predictions": (5, 1),
        "ocr.shadow-predictions": (5, 1),
        "ocr.feedback": (5, 1),
        "ocr.joins": (5, 2),
        "ocr.outcomes": (5, 4),
        "letters.requests": (5, 2),
        "letters.features": (5, 4),
        "letters.predictions": (5, 1),
        "letters.shadow-predictions": (5, 1),
        "letters.feedback": (5, 1),
        "letters.joins": (5, 2),
        "letters.outcomes": (5, 4),
    }


def test_no_topic_deletes_events_by_age_or_size() -> None:
    for topic in required_topics(Settings()):
        assert topic.configs["retention.ms"] == topic.configs["retention.bytes"] == "-1"
        assert topic.configs["cleanup.policy"] == "delete"
        assert topic.configs["message.timestamp.type"] == "LogAppendTime"


async def test_provisioning_makes_every_topic_as_it_should_be(config: Settings, admin: AIOKafkaAdminClient) -> None:
    assert await provision(config) == []
    await wait_provisioned(config)
    mine = [topic for topic in required_topics(config) if topic.name.startswith("provisioned_")]
    assert await shapes(admin, [topic.name for topic in mine]) == {topic.name: 3 for topic in mine}
    for topic in mine:
        assert topic.configs.items() <= (await configs(admin, topic.name)).items()


async def test_provisioning_again_says_and_changes_nothing(config: Settings, admin: AIOKafkaAdminClient) -> None:
    await provision(config)
    await wait_provisioned(config)
    before = await configs(admin, required_topics(config)[-1].name)
    assert await provision(config) == []
    assert await configs(admin, required_topics(config)[-1].name) == before


async def test_several_may_provision_at_once(config: Settings) -> None:
    assert await asyncio.gather(*(provision(config) for _ in range(4))) == [[]] * 4


async def test_a_topic_that_differs_is_said_and_left_as_it_is(config: Settings, admin: AIOKafkaAdminClient) -> None:
    [task] = config.tasks
    name = topics.requests(task)
    await made(admin, NewTopic(name, 2, 1, topic_configs={"retention.ms": "1000"}))
    lines = [
        f"topic {name} has 2 partitions, not 3",
        f"topic {name} has retention.ms=1000, not -1",
        f"topic {name} has segment.ms={7 * SEGMENT_MS}, not {SEGMENT_MS}",
        f"topic {name} has max.message.bytes={64 * MiB}, not {8 * MiB}",
    ]
    assert sorted(await provision(config)) == sorted(lines)
    await wait_provisioned(config)
    assert sorted(await provision(config)) == sorted(lines)
    assert await shapes(admin, [name, topics.features(task)]) == {name: 2, topics.features(task): 3}
    assert (await configs(admin, name))["retention.ms"] == "1000"


async def test_a_topic_that_cannot_be_made_is_said_by_name(config: Settings) -> None:
    [task] = config.tasks
    message = f"topic '{task}\\.requests' could not be created: InvalidReplicationFactorError"
    with pytest.raises(KafkaError, match=message):
        await provision(config.model_copy(update={"replication": 3}))


async def test_waiting_returns_once_every_topic_is_there(config: Settings) -> None:
    waiting = asyncio.create_task(wait_provisioned(config))
    await asyncio.sleep(0.5)
    assert not waiting.done()
    await provision(config)
    async with asyncio.timeout(60):
        await waiting


async def test_waiting_goes_on_while_there_is_no_broker(brokerless: Settings) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await wait_provisioned(brokerless)


async def test_provisioning_without_a_broker_is_said(brokerless: Settings) -> None:
    with pytest.raises(KafkaConnectionError):
        await provision(brokerless)
