"""Two runs are compared by the figures that both have."""

from benchmarks.compare import compare


def test_a_change_is_in_percent_of_the_earlier_run() -> None:
    before, after = {"cores": 0.5, "lost": 0.0, "old": 1.0}, {"new": 2.0, "cores": 0.4, "lost": 0.0}
    assert compare(before, after) == [("cores", "0.5", "0.4", "-20 %"), ("lost", "0", "0", "")]
