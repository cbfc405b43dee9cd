"""The steps of a Hindsight retraining run as a Kubeflow pipeline: `python docker/kubeflow/pipeline.py` compiles it.

Needs kfp and kfp-kubernetes, as requirements.txt beside this file pins them, in an environment of their own. A step
runs Hindsight's Python, where HINDSIGHT_CHECKOUT and HINDSIGHT_PYTHON of the container's environment say. The log says
what is done: a step that is tried again, or whose run is over, does nothing.
"""

from pathlib import Path

from kfp import compiler, dsl, kubernetes

STEPS = ("dataset", "train", "backtest", "evaluate", "register")
RETRIES = 2

IMAGE = "hindsight:latest"
"""Hindsight's image, with kfp laid in: README.md says how. HINDSIGHT_KUBEFLOW_IMAGE names another one."""
HOME = "/var/lib/hindsight"
VOLUME = "hindsight-home"
"""The claim of the volume that the steps share, mounted at HOME."""
SETTINGS = (
    "HINDSIGHT_KAFKA_BOOTSTRAP",
    "HINDSIGHT_BLOB_URL",
    "HINDSIGHT_MAX_BLOB_BYTES",
    "HINDSIGHT_S3_ENDPOINT",
    "HINDSIGHT_S3_REGION",
    "HINDSIGHT_TASKS",
    "HINDSIGHT_TASK_OPTIONS",
    "HINDSIGHT_TASK_SETTINGS",
    "HINDSIGHT_HOME",
)
"""Keys of the ConfigMap `hindsight`; those that it lacks keep their defaults."""
SECRETS = ("HINDSIGHT_S3_ACCESS_KEY", "HINDSIGHT_S3_SECRET_KEY")
"""Keys of the Secret `hindsight`; likewise."""


# Without pip's help: a step downloads nothing.
@dsl.component(base_image=IMAGE, install_kfp_package=False)
def retraining_step(step: str, task: str, run_id: str) -> None:
    """Do one step of a retraining run."""
    import os
    import subprocess

    command = [os.environ.get("HINDSIGHT_PYTHON", ".venv/bin/python"), "-m", "app.retraining", "--step", step]
    checkout = os.environ.get("HINDSIGHT_CHECKOUT", "/opt/hindsight")
    subprocess.run([*command, "--", task, run_id], cwd=checkout, check=True)


@dsl.pipeline(name="hindsight-retraining", description="Retrains one task of Hindsight. Begun by Hindsight.")
def hindsight_retraining(task: str, run_id: str) -> None:
    """All steps, one after the other."""
    before = None
    for step in STEPS:
        now = retraining_step(step=step, task=task, run_id=run_id)
        now.set_display_name(step).set_caching_options(False).set_retry(num_retries=RETRIES)
        kubernetes.mount_pvc(now, VOLUME, HOME)
        kubernetes.use_config_map_as_env(now, "hindsight", {key: key for key in SETTINGS}, optional=True)
        kubernetes.use_secret_as_env(now, "hindsight", {key: key for key in SECRETS}, optional=True)
        if before is not None:
            now.after(before)
        before = now


if __name__ == "__main__":
    compiler.Compiler().compile(hindsight_retraining, str(Path(__file__).with_name("pipeline.yaml")))
