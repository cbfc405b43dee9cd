from app.embedded.restart_policy import LATE_SECONDS, STARTING_SECONDS, WELL_SECONDS, Liveness, Patience, Stuck

STALLED = 20.0


class Life:
    """A process that is looked at each second."""

    def __init__(self) -> None:
        self.liveness = Liveness(Patience(STALLED))
        self.now = 1000.0
        self.run = 1.0

    def after(self, seconds: float, *, alive: bool, excused: bool = False) -> float | None:
        """Look for so long. When it is to be started again, if it is."""
        for second in range(1, round(seconds) + 1):
            self.now += 1
            if self.liveness.look(self.now, self.run, alive, excused):
                return second
        return None

    def restart(self) -> None:
        self.liveness.restarted()
        self.run += 1


def test_what_has_answered_and_is_silent_is_started_again() -> None:
    life = Life()
    assert life.after(100, alive=True) is None
    assert life.after(100, alive=False) == STALLED + 1


def test_a_start_has_longer_and_does_not_count_while_what_it_needs_is_away() -> None:
    life = Life()
    assert life.after(STARTING_SECONDS, alive=False) is None
    assert life.after(1000, alive=False, excused=True) is None
    assert life.after(1000, alive=False) == STARTING_SECONDS + 1


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
    life.after(WELL_SECONDS + 10, alive=True)
    assert life.after(1000, alive=False) == STALLED + 1


def test_a_supervisor_that_was_held_up_itself_counts_anew() -> None:
    life = Life()
    life.after(10, alive=True)
    life.now += LATE_SECONDS + 100
    assert life.after(STALLED, alive=False) is None


def test_what_stands_still_is_started_again_with_more_patience_each_time() -> None:
    stuck = Stuck(Patience(60))
    assert not stuck.look(100, 0, excused=False)
    assert not stuck.look(160, 60, excused=False)
    assert stuck.look(161, 61, excused=False)
    stuck.restarted(161)
    assert not stuck.look(281, 181, excused=False)
    assert stuck.look(282, 182, excused=False)
    stuck.restarted(282)
    assert not stuck.look(300, 0, excused=False)
    assert stuck.look(361, 61, excused=False)


def test_what_is_excused_has_all_its_time_afterwards() -> None:
    stuck = Stuck(Patience(60))
    assert not stuck.look(1000, 900, excused=True)
    assert not stuck.look(1060, 960, excused=False)
    assert stuck.look(1061, 961, excused=False)
