"""The settings of a deployment, read from the environment as HINDSIGHT_*."""

import os
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, JsonValue, SecretStr, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SecretsSettingsSource, SettingsConfigDict

from app.settings.former_names import RenamedEnvironment, RenamedSettings
from app.settings.hosts import HostSettings
from app.settings.kafka import KafkaSettings
from app.settings.task import TaskSettings

CHECKOUT = Path(__file__).resolve().parents[2]

MiB = 1024 * 1024
MAX_PORT = 65535


class Settings(RenamedSettings, HostSettings, KafkaSettings, BaseSettings):
    """The settings of one deployment. HINDSIGHT_KAFKA_PORT sets `kafka_port`; lists and maps are JSON."""

    model_config = SettingsConfigDict(env_prefix="HINDSIGHT_", extra="ignore")
    former_names: ClassVar = {
        "archive_retention_days": "archive_days",
        "kafka_retention_days": "kafka_days",
        "replay_retention_days": "replay_days",
        "liveness_timeout_seconds": "stalled_seconds",
        "progress_timeout_seconds": "progress_seconds",
    }

    home: Path = Field(CHECKOUT / ".hindsight", description="The state directory: the broker's log, blobs, models.")
    cache: Path = Field(
        Path.home() / ".cache" / "hindsight", description="Downloaded jars and weights, shared by all checkouts."
    )
    secrets_dir: Path | None = Field(
        None,
        description="A directory that has settings as files, such as hindsight_api_key: /run/secrets in a container. "
        "A variable of the same name overrides a file.",
    )
    offline: bool = Field(
        False, description="Whether set-up may use no network: the cache must have the jars and weights."
    )
    tls_certificate: Path | None = Field(None, description="The API's certificate (PEM, with its chain), for HTTPS.")
    tls_key: Path | None = Field(None, description="The key of that certificate (PEM, without a passphrase).")
    port_base: int = Field(
        8000,
        description="Moves all ports that are not set: each port is this plus (its default - 8000).",
    )
    demo: bool = Field(True, description="Whether `make run` streams demonstration traffic.")

    tasks: dict[str, str] = Field(
        {
            "ocr": "models.ocr:Ocr",
            "speech_to_text": "models.speech_to_text:SpeechToText",
            "object_detection": "models.object_detection:ObjectDetection",
            "decision": "models.decision:Decision",
        },
        description="The name and class of each task, as module:Class.",
    )

    task_options: dict[str, dict[str, JsonValue]] = Field(
        {}, description='Options of the class, by task: {"decision": {"exploration": "epsilon-greedy"}}.'
    )

    task_settings: dict[str, TaskSettings] = Field(
        {}, description='Audit, feedback and retraining, by task: {"ocr": {"audit_rate": 0.05}}.'
    )

    max_payload_bytes: int = Field(8 * MiB, description="Maximum size of a message on a requests topic.")
    max_blob_bytes: int = Field(64 * MiB, description="Maximum size of a payload in blob storage.")
    blob_gib: float = Field(
        10.0, gt=0, description="Size of blob storage in GiB above which POST /v1/blobs is refused."
    )
    blob_url: str = Field(
        "", description="Blob storage, file:///path or s3://bucket/prefix; empty is HINDSIGHT_HOME/blobs."
    )
    s3_endpoint: str = Field("", description="The S3 server of an s3:// blob storage, such as http://minio:9000.")
    s3_region: str = Field("us-east-1", description="The region of an s3:// blob storage.")
    s3_access_key: SecretStr | None = Field(None, description="Access key of an s3:// blob storage.")
    s3_secret_key: SecretStr | None = Field(None, description="Secret key of an s3:// blob storage.")

    single_host: bool = Field(
        False, description="Whether SQLite and file:// blobs will do with your own cluster: all runs on this machine."
    )
    database_url: SecretStr | None = Field(
        None, description="The catalog, postgresql://..; empty is SQLite in HINDSIGHT_HOME."
    )

    archive_metrics_port: int = Field(8085, description="/metrics of the archive agent.")
    # A commit costs 20 ms, whatever its size; readers find events that are not archived yet in Kafka.
    archive_seconds: float = Field(10.0, gt=0, description="Maximum wait of an event for its commit to the archive.")
    archive_events: int = Field(10_000, ge=1, description="Maximum number of events in one commit to the archive.")
    archive_retention_days: float | None = Field(
        None, gt=0, description="Days after which the archive deletes events; empty is never."
    )
    kafka_retention_days: float = Field(
        7.0, ge=0, description="Days for which Kafka keeps archived events. Others are never deleted."
    )

    recorder_metrics_port: int = Field(8086, description="/metrics of the outcome and catalog agents.")

    preprocess_metrics_port: int = Field(8083, description="/metrics of the Flink preprocessing process.")
    preprocess_deadline_seconds: float = Field(
        20.0, gt=0, description="Maximum time to preprocess one payload, tried twice; then it becomes a dead letter."
    )
    preprocess_memory_mib: int = Field(
        2048, ge=256, description="Maximum memory in MiB of the preprocessing of one payload."
    )
    flink_process_mode: bool = Field(
        False,
        description="Whether Flink may run Python in a separate process if this Python has no shared library: that is "
        "slower, and listens on every interface without a secret.",
    )
    flink_memory: str = Field("512m", description="Java heap of the embedded Flink.")
    parallelism: int = Field(1, ge=1, description="Parallel instances of the preprocessing job.")
    checkpoint_seconds: float = Field(2.0, gt=0, description="Interval of Flink's checkpoints.")

    session_bytes: int = Field(4 * MiB, ge=1, description="Maximum bytes of one live session; a task may allow less.")
    sessions_mib: int = Field(1024, ge=1, description="Maximum MiB of all open live sessions of a task, together.")
    session_chunks: int = Field(10_000, ge=1, description="Maximum number of chunks of one live session.")
    session_seconds: float = Field(
        600.0, gt=0, description="Maximum time from a live session's first chunk to its last."
    )
    session_gap_seconds: float = Field(5.0, gt=0, description="How long a live session waits for a missing chunk.")
    session_idle_seconds: float = Field(30.0, gt=0, description="Time without a chunk after which a session ends.")
    session_partial_seconds: float = Field(
        2.0, ge=0, description="Minimum time between two partial predictions of a live session; 0 makes none."
    )

    mlserver_token: SecretStr | None = Field(
        None, description="The token of MLServer and its clients; None is HINDSIGHT_HOME/mlserver.token."
    )
    mlserver_http_port: int = Field(
        8080, description="Port of MLServer's HTTP: health, and with its token the inference protocol."
    )
    mlserver_grpc_port: int = Field(8081, description="Port of MLServer's gRPC, which the agents call.")
    mlserver_metrics_port: int = Field(8082, description="/metrics of MLServer.")
    inference_threads: int = Field(1, ge=0, description="Threads of one model call; 0 is one for each core.")

    worker_metrics_port: int = Field(8084, description="/metrics of the Faust worker.")
    batch_size: int = Field(
        128, ge=1, description="Maximum number of events in one micro-batch of the inference agent."
    )
    batch_seconds: float = Field(0.0, ge=0, description="Maximum wait for a micro-batch to fill.")
    inference_deadline_seconds: float = Field(
        60.0, gt=0, description="Deadline of one ModelInfer call. Ten dense pages take 50 s of one core."
    )
    inference_attempts: int = Field(
        3, ge=1, description="Maximum number of attempts, without a batch, of a request that MLServer rejects."
    )

    retraining_seconds: float = Field(
        5.0, gt=0, description="Interval between two checks of triggers, runs and rollouts."
    )
    retraining_backend: Literal["local", "airflow", "kubeflow"] = Field(
        "local",
        description="Where the steps of a retraining run: a child process of the API, Airflow, or Kubeflow Pipelines.",
    )
    airflow_url: str = Field("", description="The URL of Airflow 3's API server, such as http://airflow:8080.")
    airflow_user: str | None = Field(None, description="The user that triggers Airflow's DAG.")
    airflow_password: SecretStr | None = Field(None, description="The password of Airflow's user.")
    airflow_token: SecretStr | None = Field(None, description="A token for Airflow, instead of user and password.")
    kubeflow_url: str = Field("", description="The URL of Kubeflow Pipelines, such as http://ml-pipeline:8888.")
    kubeflow_experiment: str = Field(
        "", description="The id of Kubeflow's experiment for the runs; empty is its default."
    )
    kubeflow_image: str = Field("hindsight:latest", description="The image that Kubeflow runs the steps in.")
    kubeflow_token: SecretStr | None = Field(None, description="A token for Kubeflow Pipelines.")
    kubeflow_token_file: Path | None = Field(None, description="A file with that token, which Kubernetes may replace.")
    replay_retention_days: float = Field(7.0, gt=0, description="Days for which a replay made over HTTP is kept.")
    replay_gib: float = Field(10.0, gt=0, description="Maximum size in GiB of all replays made over HTTP, together.")
    prometheus_port: int = Field(8087, description="Port of Prometheus, on 127.0.0.1, if it is on PATH.")
    alertmanager_port: int = Field(8088, description="Port of Alertmanager, on 127.0.0.1, if it is on PATH.")
    scrape_seconds: float = Field(
        15.0, gt=0, description="Interval at which Prometheus reads metrics and evaluates its rules."
    )

    otlp_endpoint: str = Field(
        "", description="The OTLP endpoint (HTTP) for traces, such as http://127.0.0.1:4318; empty exports none."
    )

    api_port: int = Field(8000, description="Port of the pages and the API.")
    api_key: SecretStr | None = Field(None, description="A key with all scopes; others: `hindsight keys`.")
    ready_max_lag: int = Field(
        10_000, ge=0, description="Maximum number of events waiting in a stage while /readyz is ready."
    )
    unanswered_seconds: float = Field(
        30.0, gt=0, description="A task is `not answering` if its requests wait and none is answered for this time."
    )

    liveness_timeout_seconds: float = Field(
        20.0, gt=0, description="A process is restarted if its main loop has not moved for this time."
    )
    progress_timeout_seconds: float = Field(
        60.0, gt=0, description="A process is restarted if it has records to read and commits none for this time."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the arguments, then the environment, then the files of `secrets_dir`."""
        files = SecretsSettingsSource(settings_cls, secrets_dir=os.environ.get("HINDSIGHT_SECRETS_DIR"))
        return init_settings, RenamedEnvironment(settings_cls, cls.former_names), files

    @model_validator(mode="after")
    def _move_ports(self) -> Self:
        """Move the ports that are not set."""
        fields = type(self).model_fields
        for name in (name for name in fields if name.endswith("_port")):
            if name not in self.model_fields_set:  # written past pydantic: it stays a default
                self.__dict__[name] = fields[name].default + self.port_base - fields["port_base"].default
            if not 1 <= getattr(self, name) <= MAX_PORT:
                raise ValueError(f"{name} is {getattr(self, name)}: a port is between 1 and {MAX_PORT}")
        return self

    @property
    def blob_store_url(self) -> str:
        """The URL of blob storage; a namespace is a folder of what `blob_url` names."""
        if self.blob_url:
            return f"{self.blob_url.rstrip('/')}/{self.namespace}".rstrip("/") if self.namespace else self.blob_url
        return (self.home / "blobs").resolve().as_uri()

    @property
    def catalog_url(self) -> str:
        """The catalog's URL in SQLAlchemy's form."""
        if self.database_url is None:
            return f"sqlite:///{(self.home / 'catalog.sqlite').resolve()}"
        return self.database_url.get_secret_value().replace("postgresql://", "postgresql+psycopg://", 1)

    def for_task(self, task: str) -> TaskSettings:
        """Return the settings of a task."""
        return self.task_settings.get(task, TaskSettings())

    @property
    def model_repository(self) -> Path:
        """The directory that MLServer loads models from."""
        return self.home / "models"


@lru_cache
def settings() -> Settings:
    """Return the settings of this process, read once."""
    return Settings()
