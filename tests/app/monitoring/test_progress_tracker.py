from app.monitoring.progress_tracker import GroupPosition, ProgressTracker

KEY = ("group", "topic")


def test_a_group_with_waiting_records_that_does_not_commit_is_stalled() -> None:
    tracker = ProgressTracker(30)
    assert tracker.update(0, {KEY: GroupPosition(5, 0)})[KEY].stalled_seconds == 0
    assert tracker.update(50, {KEY: GroupPosition(5, 0)})[KEY].stalled_seconds == 0
    assert tracker.update(60, {KEY: GroupPosition(5, 3)})[KEY].stalled_seconds == 10
    assert tracker.update(70, {KEY: GroupPosition(5, 9)})[KEY].stalled_seconds == 20
    assert tracker.update(80, {KEY: GroupPosition(6, 9)})[KEY].stalled_seconds == 0


def test_a_group_with_overdue_records_at_its_first_update_is_stalled_until_it_commits() -> None:
    tracker = ProgressTracker(30)
    assert tracker.update(0, {KEY: GroupPosition(5, 3, 3)})[KEY].stalled_seconds == 30
    assert tracker.update(5, {KEY: GroupPosition(5, 3, 3)})[KEY].stalled_seconds == 35
    assert tracker.update(10, {KEY: GroupPosition(6, 2, 2)})[KEY].stalled_seconds == 0


def test_a_topic_is_idle_since_it_last_grew() -> None:
    tracker = ProgressTracker(30)
    assert tracker.update(0, {KEY: GroupPosition(5, end=5)})[KEY].idle_seconds is None
    assert tracker.update(5, {KEY: GroupPosition(5, end=6)})[KEY].idle_seconds == 0
    assert tracker.update(9, {KEY: GroupPosition(5, end=6)})[KEY].idle_seconds == 4
