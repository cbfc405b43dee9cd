"""The disposition of each record that a replay reads: SQL for DuckDB over a view of each topic, `log_<topic>`.

A record's disposition is `row`, `skipped:<reason>` or `rejected:<reason>`. The wide columns, features and payloads, are
not read here.
"""

_IS_MARKED = "(extensions['replay'] IS NOT NULL OR extensions['partial'] IS NOT NULL)"
_MARK_DISPOSITION = "CASE WHEN extensions['replay'] IS NOT NULL THEN 'skipped:replay' ELSE 'skipped:partial' END"
"""Republished history and answers to sessions in progress are neither counted nor learned from."""
_POSITION = 'epoch, "partition", "offset"'

_CREATE_PREDICTIONS = f"""
CREATE TABLE predictions AS
WITH parsed AS (
    SELECT id, "type", logged, "time", {_POSITION}, extensions['requestsource'] AS request_source,
        {_IS_MARKED} AS is_marked, {_MARK_DISPOSITION} AS mark_disposition,
        try(json_transform(decode(data), '{{"request_id": "VARCHAR", "role": "VARCHAR", "output": "JSON",
            "model": {{"name": "VARCHAR", "version": "VARCHAR"}}, "confidence": "DOUBLE", "propensity": "DOUBLE",
            "memory": {{"output": "JSON", "confidence": "DOUBLE", "propensity": "DOUBLE"}}}}')) AS fields
    FROM log_predictions
), checked AS (
    SELECT *, coalesce("type" = $failure_type OR ("type" = $prediction_type AND request_source IS NOT NULL
        AND fields.request_id IS NOT NULL AND fields.model.name IS NOT NULL AND fields.model.version IS NOT NULL
        AND fields.role IN ('champion', 'canary') AND json_type(fields.output) = 'OBJECT'
        AND fields.confidence BETWEEN 0 AND 1 AND fields.propensity > 0 AND fields.propensity <= 1
        AND (fields.memory IS NULL OR (json_type(fields.memory.output) = 'OBJECT' AND fields.memory.confidence
            BETWEEN 0 AND 1 AND fields.memory.propensity > 0 AND fields.memory.propensity <= 1))
        ), FALSE) AS is_readable
    FROM parsed
)
SELECT id, "type" = $failure_type AS is_failure, logged, "time", {_POSITION}, request_source, fields.request_id,
    fields.model.version AS version, fields.role,
    CASE WHEN fields.memory IS NOT NULL THEN CAST(fields.output AS VARCHAR) END AS remembered,
    CAST(coalesce(fields.memory.output, fields.output) AS VARCHAR) AS output,
    coalesce(fields.memory.confidence, fields.confidence) AS confidence,
    coalesce(fields.memory.propensity, fields.propensity) AS propensity,
    CASE WHEN is_marked THEN mark_disposition WHEN NOT is_readable THEN 'rejected:unreadable' END AS disposition
FROM checked
"""
"""`output`, `confidence` and `propensity` are the model's own; `remembered` is a correction that was served instead."""

_CREATE_REQUESTS = f"""
CREATE TABLE requests AS
SELECT source, id, logged, "time", {_POSITION}, data_uri, content_type,
    coalesce(try(decode("key")), hex("key"), id) AS entity,
    CASE WHEN {_IS_MARKED} THEN {_MARK_DISPOSITION} WHEN "type" IS NULL THEN 'rejected:bad_headers'
        WHEN extensions['session'] IS NOT NULL THEN 'skipped:chunk' END AS disposition
FROM log_requests
"""

_CREATE_FEATURES = f"""
CREATE TABLE features AS
SELECT id, logged, {_POSITION}, data_uri, extensions['tensors'] AS tensors,
    extensions['payloadhash'] AS payload_hash, CASE
    WHEN {_IS_MARKED} THEN {_MARK_DISPOSITION} WHEN "type" IS NULL THEN 'rejected:bad_headers'
    WHEN coalesce(extensions['preprocessversion'], '') <> $preprocess_version THEN 'skipped:other_preprocess_version'
    END AS disposition
FROM log_features
"""


def mark_duplicates(table: str, identity: str, order: str = "") -> str:
    """Return SQL that marks all acceptable records but the first in the log of each identity as repeated."""
    # Count first: few identities occur more than once, and ordering all records takes much longer.
    return f"""
UPDATE {table} SET disposition = 'skipped:repeated' WHERE rowid IN (
    SELECT rowid FROM {table} WHERE disposition IS NULL AND ({identity}) IN (
        SELECT ({identity}) FROM {table} WHERE disposition IS NULL GROUP BY {identity} HAVING count(*) > 1)
    QUALIFY row_number() OVER (PARTITION BY {identity} ORDER BY {order} logged, {_POSITION}) > 1)
"""


_MARK_FAILED = "UPDATE predictions SET disposition = 'skipped:failed' WHERE disposition IS NULL AND is_failure"
"""The first prediction of a request in the log counts, even after a failure whose dead letter was redelivered."""

_MARK_OUT_OF_RANGE = """
UPDATE requests SET disposition = 'skipped:out_of_range'
WHERE disposition IS NULL AND NOT ("time" >= $since AND "time" < $until)
"""

_CREATE_SELECTIONS = f"""
CREATE TABLE selections AS
SELECT fields.prediction_id AS id, arg_min(fields.selection, (logged, {_POSITION})) AS selection,
    arg_min(fields.selection_probability, (logged, {_POSITION})) AS selection_probability,
    arg_min(fields.audit_answered IS NOT NULL, (logged, {_POSITION})) AS asks_audit
FROM (
    SELECT logged, {_POSITION}, try(json_transform(decode(data),
        '{{"prediction_id": "VARCHAR", "selection": "VARCHAR", "selection_probability": "DOUBLE",
            "audit_answered": "BOOLEAN"}}')) AS fields
    FROM log_outcomes WHERE "type" = $outcome_type
) WHERE fields.selection IS NOT NULL
GROUP BY fields.prediction_id
"""
"""The first outcome decides how a prediction was selected: the audit rate may change after its draw. It also says
whether the release that recorded it knows which feedback the audit's queue asked for."""

_CREATE_JOINED = """
CREATE TABLE joined AS
SELECT p.id AS prediction_id, r.id AS request_id, r.source AS request_source, r.entity, r."time", p.output,
    p.confidence, p.propensity, p.version, p.role, p."time" AS predicted, p.remembered,
    p.rowid AS p_row, r.rowid AS r_row,
    r.epoch AS r_epoch, r."partition" AS r_partition, r."offset" AS r_offset,
    r.data_uri AS r_data_uri, r.content_type AS r_content_type, s.selection, s.selection_probability,
    s.asks_audit
FROM predictions p JOIN requests r ON r.source = p.request_source AND r.id = p.request_id
LEFT JOIN selections s ON s.id = p.id
WHERE p.disposition IS NULL AND r.disposition IS NULL
"""

_ENTITY_HASH = "substr(sha256(entity), 1, 8)"
# The first 80 % and the next 10 % of the range of eight hexadecimal digits.
_SPLIT = (
    f"CASE WHEN {_ENTITY_HASH} < 'cccccccc' THEN 'train' "
    f"WHEN {_ENTITY_HASH} < 'e6666666' THEN 'validation' ELSE 'test' END"
)

CREATE_CANDIDATES = f"""
CREATE VIEW candidates AS
WITH payloads AS (
    SELECT id, arg_min(payload_hash, (logged, {_POSITION})) AS payload_hash
    FROM features WHERE payload_hash IS NOT NULL GROUP BY id
), entities AS (
    SELECT joined.* REPLACE (coalesce(payload_hash, entity) AS entity)
    FROM joined LEFT JOIN payloads ON payloads.id = joined.prediction_id
)
SELECT j.* EXCLUDE (predicted, remembered, asks_audit), l.* EXCLUDE (prediction_id, audit_answered), {_SPLIT} AS split,
    CASE WHEN asks_audit THEN coalesce(l.audit_answered, FALSE) END AS audit_answered
FROM entities j LEFT JOIN labels l USING (prediction_id)
"""
"""The candidates for rows, on which `--where` is a condition. An entity never changes its split.

A request without a key has the hash of its payload as its entity, so that the same bytes are never in two splits; if an
older release preprocessed it, it has its id.
"""

CREATE_ROWS = """
CREATE TABLE rows AS
SELECT c.*, f.rowid AS f_row, f.epoch AS f_epoch, f."partition" AS f_partition, f."offset" AS f_offset,
    f.data_uri AS f_data_uri, f.tensors, NULL::VARCHAR AS code
FROM candidates c LEFT JOIN features f ON f.id = c.prediction_id AND f.disposition IS NULL
WHERE {where}
ORDER BY "time", prediction_id
"""
"""In the order of the dataset: `rowid` is the position of a row."""

SERVED_STATEMENTS = (
    _CREATE_PREDICTIONS,
    mark_duplicates("predictions", "id", "is_failure,"),
    _MARK_FAILED,
    _CREATE_REQUESTS,
    mark_duplicates("requests", "source, id"),
    _MARK_OUT_OF_RANGE,
    _CREATE_SELECTIONS,
    _CREATE_JOINED,
)
"""Create the tables that `app.replay.labels` aggregates feedback for, in this order."""
FEATURE_STATEMENTS = (_CREATE_FEATURES, mark_duplicates("features", "id"))
"""To be executed in this order, before `CREATE_CANDIDATES` (which needs the labels) and `CREATE_ROWS`."""

DISPOSITIONS = {
    "predictions": """
        SELECT epoch, "partition", "offset", coalesce(disposition, CASE
            WHEN rowid IN (SELECT p_row FROM rows) THEN 'row'
            WHEN rowid IN (SELECT p_row FROM joined) THEN 'skipped:where' ELSE 'skipped:no_request' END) AS disposition
        FROM predictions""",
    "requests": """
        SELECT epoch, "partition", "offset", coalesce(disposition, CASE
            WHEN rowid IN (SELECT r_row FROM rows) THEN 'row'
            WHEN rowid IN (SELECT r_row FROM joined) THEN 'skipped:where'
            ELSE 'skipped:unanswered' END) AS disposition
        FROM requests""",
    "features": """
        SELECT epoch, "partition", "offset", coalesce(disposition, CASE
            WHEN rowid IN (SELECT f_row FROM rows) THEN 'row' ELSE 'skipped:no_row' END) AS disposition
        FROM features""",
    "feedback": """
        SELECT epoch, "partition", "offset", coalesce(disposition, CASE
            WHEN prediction_id IN (SELECT prediction_id FROM rows) THEN 'row' ELSE 'skipped:no_row' END) AS disposition
        FROM feedback""",
}
"""Queries of the disposition of every record; they need the table `rows`."""
