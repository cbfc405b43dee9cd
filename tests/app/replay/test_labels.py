from app.settings import TaskSettings
from tests.app.replay.logs import ONE, TWO, BuildDataset, history
from tests.support.request_history import append_to_log, to_datetime


def test_a_missing_reward_is_the_default_once_its_window_has_ended(build: BuildDataset) -> None:
    rules = TaskSettings(reward_window_seconds=10, reward_default=-0.5)
    log = append_to_log([*history(ONE, TWO), (5, TWO.feedback_record(1, reward=1.0))])
    early, _ = build(log, rules=rules, as_of=to_datetime(9))
    assert early["reward"].to_list() == [None, 1.0]
    late, _ = build(log, rules=rules, as_of=to_datetime(20))
    assert late["reward"].to_list() == [-0.5, 1.0]
    assert late["reward_defaulted"].to_list() == [True, False]
