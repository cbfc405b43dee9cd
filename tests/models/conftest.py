import os

# Read when JAX is first used. Trainings here are so small that most of their time is spent compiling.
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=1".strip()
