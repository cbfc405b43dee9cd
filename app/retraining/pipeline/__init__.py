"""The retraining pipeline: dataset, training, gate, registration."""
