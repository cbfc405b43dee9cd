"""Where retraining runs: a local process, Airflow, Kubeflow Pipelines."""
