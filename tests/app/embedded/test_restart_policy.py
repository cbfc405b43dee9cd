from app.embedded.restart_policy import (
    HEALTHY_SECONDS,
    STARTUP_TIMEOUT_SECONDS,
    SUPERVISOR_PAUSE_SECONDS,
    BackoffTimeout,
    LivenessPolicy,
    ProgressPolicy,
)

STALLED = 20.0


class Life:
    """A process that is looked at each second."""

    def __init__(self) -> None:
        self.liveness = LivenessPolicy(BackoffTimeout(STALLED))
        self.now = 1000.0
        self.run = 1.0

    def after(self, seconds: float, *, alive: bool, excused: bool = False) -> float | None:
        """Look for so long. When it is to be started again, if it is."""
        for second in range(1, round(seconds) + 1):
            self.now += 1
            if self.liveness.should_restart(self.now, self.run, alive, excused):
                return second
        return None

    def restart(self) -> None:
        self.liveness.record_restart()
        self.run += 1


def test_what_has_answered_and_is_silent_is_started_again() -> None:
    life = Life()
    assert life.after(100, alive=True) is None
    assert life.after(100, alive=False) == STALLED + 1


def test_a_start_has_longer_and_does_not_count_while_what_it_needs_is_away() -> None:
    life = Life()
    assert life.after(STARTUP_TIMEOUT_SECONDS, alive=False) is None
    assert life.after(1000, alive=False, excused=True) is None
    assert life.after(1000, alive=False) == STARTUP_TIMEOUT_SECONDS + 1


def test_a_silence_is_no_better_for_what_it_needs() -> None:
    life = Life()
    life.after(10, alive=True)
    assert life.after(100, alive=False, excused=True) == STALLED + 1


def test_each_restart_in_a_row_doubles_the_patience_until_it_was_well_for_long() -> None:
    life = Life()
    for silence in (STALLED, 2 * STALLED, 4 * STALLED):
        life.after(10, alive=True)
        assert life.after(1000, alive=False) == silence + 1
        life.restart()
    life.after(HEALTHY_SECONDS + 10, alive=True)
    assert life.after(1000, alive=False) == STALLED + 1


def test_a_supervisor_that_was_held_up_itself_counts_anew() -> None:
    life = Life()
    life.after(10, alive=True)
    life.now += SUPERVISOR_PAUSE_SECONDS + 100
    assert life.after(STALLED, alive=False) is None


def test_what_stands_still_is_started_again_with_more_patience_each_time() -> None:
    stuck = ProgressPolicy(BackoffTimeout(60))
    assert not stuck.should_restart(100, 0, is_excused=False)
    assert not stuck.should_restart(160, 60, is_excused=False)
    assert stuck.should_restart(161, 61, is_excused=False)
    stuck.record_restart(161)
    assert not stuck.should_restart(281, 181, is_excused=False)
    assert stuck.should_restart(282, 182, is_excused=False)
    stuck.record_restart(282)
    assert not stuck.should_restart(300, 0, is_excused=False)
    assert stuck.should_restart(361, 61, is_excused=False)


def test_what_is_excused_has_all_its_time_afterwards() -> None:
    stuck = ProgressPolicy(BackoffTimeout(60))
    assert not stuck.should_restart(1000, 900, is_excused=True)
    assert not stuck.should_restart(1060, 960, is_excused=False)
    assert stuck.should_restart(1061, 961, is_excused=False)
