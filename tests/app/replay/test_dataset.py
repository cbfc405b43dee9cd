"""The content hash of datasets."""

import pyarrow as pa

from app.replay.dataset import SCHEMA, ContentHash


def content_hash(*columns: str, **values: object) -> str:
    table = pa.Table.from_pylist([dict.fromkeys(SCHEMA.names) | values], SCHEMA)
    digest = ContentHash()
    for batch in table.drop_columns(list(columns)).to_batches():
        digest.update(batch)
    return digest.hexdigest()


def test_a_column_that_older_releases_lack_changes_no_hash_of_their_logs() -> None:
    assert content_hash() == content_hash("audit_answered", "rewards", "position_rewards", "preferences")
    assert len({content_hash(), content_hash(audit_answered=False), content_hash(audit_answered=True)}) == 3
