from app.embedded.restart_policy import (
    HEALTHY_SECONDS,
    STARTUP_TIMEOUT_SECONDS,
    SUPERVISOR_PAUSE_SECONDS,
    BackoffTimeout,
    LivenessPolicy,
    ProgressPolicy,
)

STALLED = 20.0


class CheckedProcess:
    """A process that is checked each second."""

    def __init__(self) -> None:
        self.liveness = LivenessPolicy(BackoffTimeout(STALLED))
        self.now = 1000.0
        self.run = 1.0

    def restart_second(self, seconds: float, *, alive: bool, excused: bool = False) -> float | None:
        """Check the process for so long. Return the second in which it is to be restarted, or None."""
        for second in range(1, round(seconds) + 1):
            self.now += 1
            if self.liveness.should_restart(self.now, self.run, alive, excused):
                return second
        return None

    def restart(self) -> None:
        self.liveness.record_restart()
        self.run += 1


def test_a_process_that_has_answered_and_is_silent_is_restarted() -> None:
    process = CheckedProcess()
    assert process.restart_second(100, alive=True) is None
    assert process.restart_second(100, alive=False) == STALLED + 1


def test_a_start_has_a_longer_timeout_that_does_not_run_while_a_dependency_is_away() -> None:
    process = CheckedProcess()
    assert process.restart_second(STARTUP_TIMEOUT_SECONDS, alive=False) is None
    assert process.restart_second(1000, alive=False, excused=True) is None
    assert process.restart_second(1000, alive=False) == STARTUP_TIMEOUT_SECONDS + 1


def test_a_process_that_has_answered_is_not_excused_by_its_dependencies() -> None:
    process = CheckedProcess()
    process.restart_second(10, alive=True)
    assert process.restart_second(100, alive=False, excused=True) == STALLED + 1


def test_each_consecutive_restart_doubles_the_timeout_until_the_process_was_healthy_for_long() -> None:
    process = CheckedProcess()
    for silence in (STALLED, 2 * STALLED, 4 * STALLED):
        process.restart_second(10, alive=True)
        assert process.restart_second(1000, alive=False) == silence + 1
        process.restart()
    process.restart_second(HEALTHY_SECONDS + 10, alive=True)
    assert process.restart_second(1000, alive=False) == STALLED + 1


def test_a_supervisor_that_was_paused_itself_counts_silence_anew() -> None:
    process = CheckedProcess()
    process.restart_second(10, alive=True)
    process.now += SUPERVISOR_PAUSE_SECONDS + 100
    assert process.restart_second(STALLED, alive=False) is None


def test_a_process_without_progress_is_restarted_with_a_longer_timeout_each_time() -> None:
    policy = ProgressPolicy(BackoffTimeout(60))
    assert not policy.should_restart(100, 0, is_excused=False)
    assert not policy.should_restart(160, 60, is_excused=False)
    assert policy.should_restart(161, 61, is_excused=False)
    policy.record_restart(161)
    assert not policy.should_restart(281, 181, is_excused=False)
    assert policy.should_restart(282, 182, is_excused=False)
    policy.record_restart(282)
    assert not policy.should_restart(300, 0, is_excused=False)
    assert policy.should_restart(361, 61, is_excused=False)


def test_an_excused_process_has_its_full_timeout_afterwards() -> None:
    policy = ProgressPolicy(BackoffTimeout(60))
    assert not policy.should_restart(1000, 900, is_excused=True)
    assert not policy.should_restart(1060, 960, is_excused=False)
    assert policy.should_restart(1061, 961, is_excused=False)
