"""The namespace of this process, which is before the name of each topic, consumer group and event source.

Two deployments with different namespaces share a cluster and a bucket. A process belongs to one of them for as long as
it lives: HINDSIGHT_NAMESPACE is read once. Only the client of applications takes another one, as an argument.
"""

import os

NAMESPACE = os.environ.get("HINDSIGHT_NAMESPACE", "")


def qualify(name: str, namespace: str = NAMESPACE) -> str:
    """Return a name in a namespace: `blue.ocr.requests`."""
    return f"{namespace}.{name}" if namespace else name
