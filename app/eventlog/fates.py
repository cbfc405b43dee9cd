"""What becomes of each record that a replay reads: SQL for DuckDB over one view of each topic, `log_<topic>`.

Each record is part of a row, skipped, or rejected. Its `fate` says so: `row`, `skipped:<reason>`, `rejected:<reason>`.
The wide columns, features and payloads, are not touched here.
"""

_MARKED = "(extensions['replay'] IS NOT NULL OR extensions['partial'] IS NOT NULL)"
_WHY_MARKED = "CASE WHEN extensions['replay'] IS NOT NULL THEN 'skipped:replay' ELSE 'skipped:partial' END"
"""Nobody counts or learns from these: history that was published again, and sessions that were still running."""
_PLACE = 'epoch, "partition", "offset"'
_IN_LOG = f"ORDER BY logged, {_PLACE}"

_PREDICTIONS = f"""
CREATE TABLE predictions AS
WITH read AS (
    SELECT id, "type", logged, "time", {_PLACE}, extensions['requestsource'] AS request_source,
        {_MARKED} AS marked, {_WHY_MARKED} AS why_marked,
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
SELECT id, logged, "time", {_PLACE}, request_source, said.request_id, said.model.name AS model,
    said.model.version AS version, said.role, CAST(said.output AS VARCHAR) AS output, said.confidence, said.propensity,
    CASE WHEN marked THEN why_marked WHEN NOT readable THEN 'rejected:unreadable'
        WHEN row_number() OVER (
            PARTITION BY id, marked, readable ORDER BY "type" = $failed, logged, {_PLACE}) > 1 THEN 'skipped:repeated'
        WHEN "type" = $failed THEN 'skipped:failed' END AS fate
FROM seen
"""
"""The first prediction of a request in the log is *the* prediction; it may come after a failure, of a dead letter."""

_REQUESTS = f"""
CREATE TABLE requests AS
WITH read AS (
    SELECT *, {_MARKED} AS marked, {_WHY_MARKED} AS why_marked, extensions['session'] IS NOT NULL AS chunk,
        row_number() OVER (
            PARTITION BY source, id, "type" IS NULL, extensions['session'] IS NOT NULL, {_MARKED} {_IN_LOG}) AS nth
    FROM log_requests
)
SELECT source, id, "time", {_PLACE}, coalesce(try(decode("key")), hex("key"), id) AS entity,
    CASE WHEN marked THEN why_marked WHEN "type" IS NULL THEN 'rejected:bad_headers' WHEN chunk THEN 'skipped:chunk'
        WHEN nth > 1 THEN 'skipped:repeated'
        WHEN NOT ("time" >= $since AND "time" < $until) THEN 'skipped:out_of_range' END AS fate
FROM read
"""

_FEATURES = f"""
CREATE TABLE features AS
SELECT id, {_PLACE}, CASE
    WHEN {_MARKED} THEN {_WHY_MARKED} WHEN "type" IS NULL THEN 'rejected:bad_headers'
    WHEN coalesce(extensions['preprocessversion'], '') <> $preprocess_version THEN 'skipped:other_preprocess_version'
    WHEN row_number() OVER (PARTITION BY id, extensions['preprocessversion'], {_MARKED} {_IN_LOG}) > 1
        THEN 'skipped:repeated' END AS fate
FROM log_features
"""

_SELECTIONS = f"""
CREATE TABLE selections AS
SELECT said.prediction_id AS id, arg_min(said.selection, (logged, {_PLACE})) AS selection,
    arg_min(said.selection_probability, (logged, {_PLACE})) AS selection_probability
FROM (
    SELECT logged, {_PLACE}, try(json_transform(decode(data),
        '{{"prediction_id": "VARCHAR", "selection": "VARCHAR", "selection_probability": "DOUBLE"}}')) AS said
    FROM log_outcomes WHERE "type" = $recorded
) WHERE said.selection IS NOT NULL
GROUP BY said.prediction_id
"""
"""How a prediction came to be looked at is what was said first: rates change, what they were at its draw does not."""

_JOINED = """
CREATE TABLE joined AS
SELECT p.id AS prediction_id, r.id AS request_id, r.source AS request_source, r.entity, r."time", p.output,
    p.confidence, p.propensity, p.model, p.version, p.role, p."time" AS predicted, p.logged,
    r.epoch AS r_epoch, r."partition" AS r_partition, r."offset" AS r_offset,
    s.selection, s.selection_probability
FROM predictions p JOIN requests r ON r.source = p.request_source AND r.id = p.request_id
LEFT JOIN selections s ON s.id = p.id
WHERE p.fate IS NULL AND r.fate IS NULL
"""

_HASH = "substr(sha256(entity), 1, 8)"
# The first 80 % and the next 10 % of all that eight hexadecimal digits can say.
_SPLIT = f"CASE WHEN {_HASH} < 'cccccccc' THEN 'train' WHEN {_HASH} < 'e6666666' THEN 'validation' ELSE 'test' END"

CANDIDATES = f"""
CREATE TABLE candidates AS
SELECT j.* EXCLUDE (predicted, logged, model), l.* EXCLUDE (prediction_id), {_SPLIT} AS split
FROM joined j LEFT JOIN labels l USING (prediction_id)
"""
"""What may be a row: `where` is a condition on these. An entity is in one split only, for ever."""

ROWS = """
CREATE TABLE rows AS
SELECT c.*, f.epoch AS f_epoch, f."partition" AS f_partition, f."offset" AS f_offset
FROM candidates c LEFT JOIN features f ON f.id = c.prediction_id AND f.fate IS NULL
WHERE ({where})
"""

BEFORE_LABELS = (_PREDICTIONS, _REQUESTS, _FEATURES, _SELECTIONS, _JOINED)
"""In this order. Then come `app.eventlog.labels`, `CANDIDATES` and `ROWS`."""

PARAMETERS = ("made", "failed", "recorded", "since", "until", "preprocess_version")

FATES = {
    "predictions": """
        SELECT epoch, "partition", "offset", coalesce(fate, CASE
            WHEN id IN (SELECT prediction_id FROM rows) THEN 'row'
            WHEN id IN (SELECT prediction_id FROM joined) THEN 'skipped:where' ELSE 'skipped:no_request' END) AS fate
        FROM predictions""",
    "requests": """
        SELECT epoch, "partition", "offset", coalesce(fate, CASE
            WHEN (source, id) IN (SELECT (request_source, request_id) FROM rows) THEN 'row'
            WHEN (source, id) IN (SELECT (request_source, request_id) FROM joined) THEN 'skipped:where'
            ELSE 'skipped:unanswered' END) AS fate
        FROM requests""",
    "features": """
        SELECT epoch, "partition", "offset", coalesce(fate, CASE
            WHEN id IN (SELECT prediction_id FROM rows) THEN 'row' ELSE 'skipped:no_row' END) AS fate
        FROM features""",
    "feedback": """
        SELECT epoch, "partition", "offset", coalesce(fate, CASE
            WHEN prediction_id IN (SELECT prediction_id FROM rows) THEN 'row' ELSE 'skipped:no_row' END) AS fate
        FROM feedback""",
}
"""The fate of every record, once `rows` is there."""
