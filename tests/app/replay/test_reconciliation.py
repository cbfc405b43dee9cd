import pytest

from app.replay.reconciliation import check_counts


def test_a_record_that_is_unaccounted_for_raises() -> None:
    counts = {"read": 3, "rows": 1, "skipped": {"where": 1}, "rejected": {"unreadable": 1}}
    check_counts({"predictions": counts, "requests": counts, "features": counts}, 1)
    with pytest.raises(AssertionError, match="4 records were read, 3 are accounted for"):
        check_counts({"features": counts | {"read": 4}}, 1)
    with pytest.raises(AssertionError, match="2 rows were written"):
        check_counts({"predictions": counts, "requests": counts}, 2)
