from app.preprocess.sessions.chunk_headers import session_key

REQUESTS = "letters.requests"


def test_chunks_have_one_key_only_if_they_belong_to_one_session() -> None:
    headers = {"ce_session": b"s", "ce_source": b"mic"}
    keys = {
        session_key(REQUESTS, headers),
        session_key("ocr.requests", headers),
        session_key(REQUESTS, headers | {"ce_source": b"other"}),
        session_key(REQUESTS, {"ce_session": b"s"}),
        session_key(REQUESTS, headers | {"ce_session": b"\xff"}),
    }
    assert len(keys) == 5
    assert session_key(REQUESTS, headers | {"ce_sequence": b"1"}) in keys
    assert session_key(REQUESTS, {"ce_session": b"s", "ce_source": None}) in keys
