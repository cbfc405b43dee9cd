"""The journey from a request to its prediction, by the platform's own functions over a log in memory."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from app.events import topics
from app.events.cloudevents import ConsumedRecord, Record, event_identity, header_text
from app.events.ids import prediction_id
from app.events.types import Failure, PredictionFailed, PredictionMade
from app.inference import handler
from app.inference.handler import InferenceHandler
from app.inference.local_model import LocalModel
from app.inference.predictor import InferenceBackend
from app.preprocess import preprocessor
from app.preprocess.preprocessor import Preprocessor
from app.registry.routes import Route
from app.registry.shipped import shipped_champion, shipped_versions
from app.settings import Settings
from app.streams.delivery import DeliveryGuard, HandlerResult, Rejection
from app.testing.memory_log import InMemoryLog
from models.base import Rejected, Task


async def run_pipeline(
    task: Task,
    requests: Iterable[bytes | Record] = (),
    *,
    model: Path | InferenceBackend | None = None,
    log: InMemoryLog | None = None,
) -> list[PredictionMade | PredictionFailed]:
    """Process requests, payloads or records, and return the answer to each request in the log, in order.

    `model` is a `model.onnx` or stands in for MLServer; by default it is the newest version that the task ships. After
    a `Crash`, a call with the same `log` processes what is not committed. Claim checks (`blob://`) and live sessions
    need the platform. Raises `SetupError` if there is no model.
    """
    log = log or InMemoryLog()
    preprocess, infer = _preprocessing_guard(task, log), _inference_guard(task, model, log)
    for request in requests:
        log.append(request if isinstance(request, Record) else Record(topics.requests(task.name), None, request, ()))
    await log.consume(topics.requests(task.name), preprocess.deliver)
    await log.consume(topics.features(task.name), infer.deliver)
    answers = {}
    for record in log.read(topics.predictions(task.name)):
        failed = header_text(record.headers, "ce_type") == PredictionFailed.type
        answer = (PredictionFailed if failed else PredictionMade).model_validate_json(record.value or b"")
        answers[answer.prediction_id] = answer
    identities = [event_identity(record.headers, record.origin) for record in log.read(topics.requests(task.name))]
    return [answers[prediction_id(task.name, *identity)] for identity in identities]


def _preprocessing_guard(task: Task, log: InMemoryLog) -> DeliveryGuard:
    preprocess = Preprocessor(task, _fetch_nothing, topics.max_features_bytes(Settings()))

    async def handle(batch: Sequence[ConsumedRecord]) -> Sequence[HandlerResult]:
        results = [preprocess(record.origin, record.key, record.value, record.headers) for record in batch]
        return [
            Rejection(result.rejection, result.records) if result.rejection else result.records for result in results
        ]

    def reject(record: ConsumedRecord, failure: Failure) -> Sequence[Record]:
        error = Rejected(failure.code, failure.reason)
        return preprocess(record.origin, record.key, record.value, record.headers, error).records

    return DeliveryGuard(preprocessor.STAGE, handle, log.publish, reject)


def _inference_guard(task: Task, model: Path | InferenceBackend | None, log: InMemoryLog) -> DeliveryGuard:
    model = model or shipped_versions(task)[shipped_champion(task).version]
    route = Route(model.parent.name if isinstance(model, Path) else "0")
    backend = LocalModel(model) if isinstance(model, Path) else model

    async def find_route() -> Route:
        return route

    inference = InferenceHandler(Settings(inference_attempts=1), task, find_route, lambda: backend)
    return DeliveryGuard(handler.STAGE, inference, log.publish, inference.reject)


def _fetch_nothing(uri: str, limit: int) -> bytes:
    raise Rejected("blob_missing", f"{uri[:100]} is not in memory: send the payload in the value of the request")
