"""Kafka's settings of a deployment."""

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, Field, SecretStr, model_validator

from app.settings.namespace import NAMESPACE

ClientOption = Literal[
    "client_id", "connections_max_idle_ms", "metadata_max_age_ms", "request_timeout_ms", "retry_backoff_ms"
]
Compression = Literal["none", "gzip", "snappy", "lz4", "zstd"]


class KafkaSettings(BaseModel):
    """The cluster, the credentials of the clients, and the topics."""

    namespace: str = Field(
        "",
        pattern="^[a-z][a-z0-9-]*$|^$",
        description="Prefix of topics, groups, event sources and blobs: deployments can share a cluster and a bucket.",
    )
    kafka_bootstrap: str = Field("", description="The brokers of your Kafka cluster; empty starts the embedded broker.")
    kafka_port: int = Field(9092, description="Port of the embedded broker for applications; it needs no password.")
    kafka_platform_port: int = Field(9094, description="Port of the embedded broker for the platform's own processes.")
    kafka_controller_port: int = Field(9093, description="Port of the embedded broker's KRaft controller.")
    kafka_metrics_port: int = Field(8089, description="/metrics of the embedded broker.")
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="The security protocol of your Kafka cluster."
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = Field(
        "SCRAM-SHA-512", description="The SASL mechanism of your Kafka cluster."
    )
    kafka_sasl_username: str = Field("", description="The user at your Kafka cluster.")
    kafka_sasl_password: SecretStr | None = Field(None, description="The password of that user.")
    kafka_sasl_password_file: Path | None = Field(
        None, description="A file with that password, which each new connection reads again."
    )
    kafka_sasl_token_file: Path | None = Field(
        None, description="The file with the token (JWT) of OAUTHBEARER, which each new connection reads again."
    )
    kafka_ssl_cafile: Path | None = Field(
        None, description="The certificate authorities (PEM) of your Kafka cluster; empty is the system's."
    )
    kafka_ssl_certfile: Path | None = Field(None, description="The client certificate (PEM) for the cluster.")
    kafka_ssl_keyfile: Path | None = Field(None, description="Its private key (PEM, PKCS #8, without a password).")
    kafka_options: dict[ClientOption, int | str] = Field(
        {}, description='Options of each aiokafka client: {"request_timeout_ms": 60000}.'
    )
    kafka_java_options: dict[str, str] = Field(
        {}, description='Properties of each Java client, as Flink\'s: {"client.rack": "a"}.'
    )
    kafka_compression: Compression | None = Field(
        None,
        description="Compression of what the platform writes; empty is zstd on your cluster, none on the embedded.",
    )
    kafka_heap: str = Field("384m", description="Java heap of the embedded broker.")
    partitions: int = Field(4, ge=1, description="Partitions of each task's topics.")
    replication: int = Field(1, ge=1, description="Replicas of each topic; by default 3 on your cluster.")
    min_insync_replicas: int = Field(
        1, ge=1, description="Replicas that must have a record; by default one less than all, at most 2."
    )

    @model_validator(mode="after")
    def _default_to_durable(self) -> Self:
        """On a cluster, keep each record when a broker is lost."""
        defaults = {"replication": 3 if self.kafka_bootstrap else 1}
        copies = self.replication if "replication" in self.model_fields_set else defaults["replication"]
        defaults["min_insync_replicas"] = max(1, min(2, copies - 1))
        for name, value in defaults.items():
            if name not in self.model_fields_set:  # written past pydantic: it stays a default
                self.__dict__[name] = value
        if self.min_insync_replicas > self.replication:
            raise ValueError(
                f"min_insync_replicas is {self.min_insync_replicas}: there are {self.replication} replicas"
            )
        return self

    @model_validator(mode="after")
    def _check_namespace(self) -> Self:
        """Refuse another namespace than the process's."""
        if self.namespace != NAMESPACE:
            raise ValueError(
                f"the namespace of this process is {NAMESPACE!r}: set HINDSIGHT_NAMESPACE before its start"
            )
        return self

    @model_validator(mode="after")
    def _check_credentials(self) -> Self:
        """Refuse credentials that leave open which of them is meant."""
        if self.kafka_sasl_password is not None and self.kafka_sasl_password_file is not None:
            raise ValueError("kafka_sasl_password and kafka_sasl_password_file are both set: remove one of them")
        if self.kafka_sasl_mechanism == "OAUTHBEARER" and self.kafka_sasl_token_file is None:
            raise ValueError("OAUTHBEARER needs kafka_sasl_token_file, the file with its token")
        return self

    @property
    def compression(self) -> Compression:
        """The compression of what the platform writes."""
        return self.kafka_compression or ("none" if self.embedded_kafka else "zstd")

    @property
    def bootstrap(self) -> str:
        """The brokers for applications: your cluster, or the embedded broker at its public port."""
        return self.kafka_bootstrap or f"127.0.0.1:{self.kafka_port}"

    @property
    def platform_bootstrap(self) -> str:
        """The brokers for the platform's processes: your cluster, or the embedded broker's port with a password."""
        return self.kafka_bootstrap or f"127.0.0.1:{self.kafka_platform_port}"

    @property
    def embedded_kafka(self) -> bool:
        """Whether this deployment runs the embedded broker."""
        return not self.kafka_bootstrap
