"""Selection of the backend."""

from app.retraining.backends.backend import Backend
from app.settings import Settings


def create_backend(settings: Settings) -> Backend:
    """Return the backend of HINDSIGHT_RETRAINING_BACKEND. Raises `SetupError` if its settings are missing."""
    # Each backend imports its own libraries only.
    from app.retraining.backends.remote import RemoteBackend

    match settings.retraining_backend:
        case "local":
            from app.retraining.backends.local import LocalBackend

            return LocalBackend(settings)
        case "airflow":
            from app.retraining.backends.airflow import Airflow

            return RemoteBackend(Airflow(settings))
        case "kubeflow":
            from app.retraining.backends.kubeflow import Kubeflow

            return RemoteBackend(Kubeflow(settings))
