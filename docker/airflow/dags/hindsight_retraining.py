"""The steps of a Hindsight retraining run, one task each. Needs nothing of Hindsight's in Airflow's own environment.

A task runs Hindsight's Python, where HINDSIGHT_CHECKOUT and HINDSIGHT_PYTHON of the worker's environment say, with the
HINDSIGHT_* settings there. The log says what is done: a step that is tried again, or whose run is over, does nothing.
"""

from datetime import timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, Param

STEPS = ("dataset", "train", "backtest", "evaluate", "register")

# What comes from outside is in the environment, never in the command, and has one of these forms.
ENVIRONMENT = {"TASK": "{{ params.task }}", "RUN_ID": "{{ params.run_id }}"}
COMMAND = (
    'cd "${HINDSIGHT_CHECKOUT:-/opt/hindsight}"'
    ' && exec "${HINDSIGHT_PYTHON:-.venv/bin/python}" -m app.retraining --step STEP -- "$TASK" "$RUN_ID"'
)

with DAG(
    "hindsight_retraining",
    description="Retrains one task of Hindsight. Triggered by Hindsight; the DAG run's id is that of the run.",
    schedule=None,
    is_paused_upon_creation=False,
    params={
        "task": Param(type="string", pattern="^[a-z][a-z0-9_]*$", description="The task, such as ocr."),
        "run_id": Param(type="string", pattern="^[A-Za-z0-9_-]+$", description="The run, as the log names it."),
    },
    default_args={"retries": 2, "retry_delay": timedelta(seconds=2)},
    tags=["hindsight"],
) as dag:
    before = None
    for step in STEPS:
        task = BashOperator(task_id=step, bash_command=COMMAND.replace("STEP", step), env=ENVIRONMENT, append_env=True)
        if before is not None:
            before >> task
        before = task
