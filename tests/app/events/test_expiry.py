from app.events.expiry import refuse_expired

NOW = 1_800_000_000_000.0
"""2027-01-15T08:00:00Z"""


def test_without_a_bound_a_request_waits_as_long_as_it_takes() -> None:
    assert refuse_expired({}, 0, NOW, None) is None


def test_a_request_that_waited_longer_than_the_bound_is_refused_with_the_figures() -> None:
    assert refuse_expired({}, NOW - 2000, NOW, 2.0) is None
    refusal = refuse_expired({}, NOW - 2600, NOW, 2.0)
    assert refusal is not None and refusal.code == "expired"
    assert str(refusal) == "it waited for 2.6 s; requests of this task wait for at most 2 s"


def test_a_request_names_the_time_until_which_it_wants_an_answer() -> None:
    assert refuse_expired({"expirytime": "2027-01-15T08:00:01Z"}, NOW, NOW, None) is None
    refusal = refuse_expired({"expirytime": "2027-01-15T08:59:59+01:00"}, NOW, NOW, None)
    assert refusal is not None and "2027-01-15T08:59:59+01:00" in str(refusal)


def test_an_expiry_time_that_can_not_be_read_is_ignored() -> None:
    for text in ("soon", "", "2020-01-01T00:00:00", "2020-13-01T00:00:00Z"):
        assert refuse_expired({"expirytime": text}, NOW, NOW, 1.0) is None
