from app.settings import Settings
from tests.support.commands import CommandResult, invoke_hindsight


async def test_topics_prints_how_topics_differ_from_the_required_ones(platform: Settings) -> None:
    result = await invoke_hindsight(platform, "topics")
    assert result == CommandResult(0, "16 topics are there; 0 differences\n", "")
    result = await invoke_hindsight(platform, "topics", HINDSIGHT_PARTITIONS="5")
    assert "topic ocr.requests has 4 partitions, not 5\n" in result.out
