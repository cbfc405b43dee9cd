"""What becomes of each record that a replay reads: SQL for DuckDB over one view of each topic, `log_<topic>`.

Each record is part of a row, skipped, or rejected. Its `fate` says so: `row`, `skipped:<reason>`, `rejected:<reason>`.
The wide columns, features and payloads, are not touched here.
"""

_IS_MARKED = "(extensions['replay'] IS NOT NULL OR extensions['partial'] IS NOT NULL)"
_MARK_DISPOSITION = "CASE WHEN extensions['replay'] IS NOT NULL THEN 'skipped:replay' ELSE 'skipped:partial' END"
"""Nobody counts or learns from these: history that was published again, and sessions that were still running."""
_POSITION = 'epoch, "partition", "offset"'

_CREATE_PREDICTIONS = f"""
CREATE TABLE predictions AS
WITH read AS (
    SELECT id, "type", logged, "time", {_POSITION}, extensions['requestsource'] AS request_source,
        {_IS_MARKED} AS marked, {_MARK_DISPOSITION} AS why_marked,
        try(json_transform(decode(data), '{{"request_id": "VARCHAR", "role": "VARCHAR", "output": "JSON",
            "model": {{"name": "VARCHAR", "version": "VARCHAR"}}, "confidence": "DOUBLE", "propensity": "DOUBLE"}}'
            )) AS said
    FROM log_predictions
), seen AS (
    SELECT *, coalesce("type" = $failed OR ("type" = $made AND request_source IS NOT NULL
        AND said.request_id IS NOT NULL AND said.model.name IS NOT NULL AND said.model.version IS NOT NULL
        AND said.role IN ('champion', 'canary') AND json_type(said.output) = 'OBJECT'
        AND said.confidence BETWEEN 0 AND 1 AND said.propensity > 0 AND said.propensity <= 1), FALSE) AS readable
    FROM read
)
SELECT id, "type" = $failed AS failed, logged, "time", {_POSITION}, request_source, said.request_id,
    said.model.version AS version, said.role, CAST(said.output AS VARCHAR) AS output, said.confidence, said.propensity,
    CASE WHEN marked THEN why_marked WHEN NOT readable THEN 'rejected:unreadable' END AS fate
FROM seen
"""

_CREATE_REQUESTS = f"""
CREATE TABLE requests AS
SELECT source, id, logged, "time", {_POSITION}, data_uri, content_type,
    coalesce(try(decode("key")), hex("key"), id) AS entity,
    CASE WHEN {_IS_MARKED} THEN {_MARK_DISPOSITION} WHEN "type" IS NULL THEN 'rejected:bad_headers'
        WHEN extensions['session'] IS NOT NULL THEN 'skipped:chunk' END AS fate
FROM log_requests
"""

_CREATE_FEATURES = f"""
CREATE TABLE features AS
SELECT id, logged, {_POSITION}, data_uri, extensions['tensors'] AS tensors, CASE
    WHEN {_IS_MARKED} THEN {_MARK_DISPOSITION} WHEN "type" IS NULL THEN 'rejected:bad_headers'
    WHEN coalesce(extensions['preprocessversion'], '') <> $preprocess_version THEN 'skipped:other_preprocess_version'
    END AS fate
FROM log_features
"""


def mark_duplicates(table: str, identity: str, order: str = "") -> str:
    """Of the records that nothing is wrong with, all but the first in the log of each identity are repeated."""
    # The few that are there more than once are found by counting: to number all in their order takes much longer.
    return f"""
UPDATE {table} SET fate = 'skipped:repeated' WHERE rowid IN (
    SELECT rowid FROM {table} WHERE fate IS NULL AND ({identity}) IN (
        SELECT ({identity}) FROM {table} WHERE fate IS NULL GROUP BY {identity} HAVING count(*) > 1)
    QUALIFY row_number() OVER (PARTITION BY {identity} ORDER BY {order} logged, {_POSITION}) > 1)
"""


_MARK_FAILED = "UPDATE predictions SET fate = 'skipped:failed' WHERE fate IS NULL AND failed"
"""The first prediction of a request in the log is *the* prediction; it may come after a failure, of a dead letter."""

_MARK_OUT_OF_RANGE = """
UPDATE requests SET fate = 'skipped:out_of_range' WHERE fate IS NULL AND NOT ("time" >= $since AND "time" < $until)
"""

_CREATE_SELECTIONS = f"""
CREATE TABLE selections AS
SELECT said.prediction_id AS id, arg_min(said.selection, (logged, {_POSITION})) AS selection,
    arg_min(said.selection_probability, (logged, {_POSITION})) AS selection_probability
FROM (
    SELECT logged, {_POSITION}, try(json_transform(decode(data),
        '{{"prediction_id": "VARCHAR", "selection": "VARCHAR", "selection_probability": "DOUBLE"}}')) AS said
    FROM log_outcomes WHERE "type" = $recorded
) WHERE said.selection IS NOT NULL
GROUP BY said.prediction_id
"""
"""How a prediction came to be looked at is what was said first: rates change, what they were at its draw does not."""

_CREATE_JOINED = """
CREATE TABLE joined AS
SELECT p.id AS prediction_id, r.id AS request_id, r.source AS request_source, r.entity, r."time", p.output,
    p.confidence, p.propensity, p.version, p.role, p."time" AS predicted,
    p.rowid AS p_row, r.rowid AS r_row,
    r.epoch AS r_epoch, r."partition" AS r_partition, r."offset" AS r_offset,
    r.data_uri AS r_data_uri, r.content_type AS r_content_type, s.selection, s.selection_probability
FROM predictions p JOIN requests r ON r.source = p.request_source AND r.id = p.request_id
LEFT JOIN selections s ON s.id = p.id
WHERE p.fate IS NULL AND r.fate IS NULL
"""

_ENTITY_HASH = "substr(sha256(entity), 1, 8)"
# The first 80 % and the next 10 % of all that eight hexadecimal digits can say.
_SPLIT = (
    f"CASE WHEN {_ENTITY_HASH} < 'cccccccc' THEN 'train' "
    f"WHEN {_ENTITY_HASH} < 'e6666666' THEN 'validation' ELSE 'test' END"
)

CREATE_CANDIDATES = f"""
CREATE VIEW candidates AS
SELECT j.* EXCLUDE (predicted), l.* EXCLUDE (prediction_id), {_SPLIT} AS split
FROM joined j LEFT JOIN labels l USING (prediction_id)
"""
"""What may be a row: `--where` is a condition on these. An entity is in one split only, for ever."""

CREATE_ROWS = """
CREATE TABLE rows AS
SELECT c.*, f.rowid AS f_row, f.epoch AS f_epoch, f."partition" AS f_partition, f."offset" AS f_offset,
    f.data_uri AS f_data_uri, f.tensors, NULL::VARCHAR AS code
FROM candidates c LEFT JOIN features f ON f.id = c.prediction_id AND f.fate IS NULL
WHERE {where}
ORDER BY "time", prediction_id
"""
"""In the order of the dataset: a row's `rowid` is its position there."""

SERVED_STATEMENTS = (
    _CREATE_PREDICTIONS,
    mark_duplicates("predictions", "id", "failed,"),
    _MARK_FAILED,
    _CREATE_REQUESTS,
    mark_duplicates("requests", "source, id"),
    _MARK_OUT_OF_RANGE,
    _CREATE_SELECTIONS,
    _CREATE_JOINED,
)
"""In this order: what `app.replay.labels` judges the feedback of."""
FEATURE_STATEMENTS = (_CREATE_FEATURES, mark_duplicates("features", "id"))
"""In this order. With these and the labels come `CANDIDATES` and `ROWS`."""

DISPOSITIONS = {
    "predictions": """
        SELECT epoch, "partition", "offset", coalesce(fate, CASE
            WHEN rowid IN (SELECT p_row FROM rows) THEN 'row'
            WHEN rowid IN (SELECT p_row FROM joined) THEN 'skipped:where' ELSE 'skipped:no_request' END) AS fate
        FROM predictions""",
    "requests": """
        SELECT epoch, "partition", "offset", coalesce(fate, CASE
            WHEN rowid IN (SELECT r_row FROM rows) THEN 'row'
            WHEN rowid IN (SELECT r_row FROM joined) THEN 'skipped:where'
            ELSE 'skipped:unanswered' END) AS fate
        FROM requests""",
    "features": """
        SELECT epoch, "partition", "offset", coalesce(fate, CASE
            WHEN rowid IN (SELECT f_row FROM rows) THEN 'row' ELSE 'skipped:no_row' END) AS fate
        FROM features""",
    "feedback": """
        SELECT epoch, "partition", "offset", coalesce(fate, CASE
            WHEN prediction_id IN (SELECT prediction_id FROM rows) THEN 'row' ELSE 'skipped:no_row' END) AS fate
        FROM feedback""",
}
"""The fate of every record, once `rows` is there."""
