"""What a team would write without the platform: consumers that preprocess, run the model and decode by themselves.

They use the same broker, payloads, preprocessing, model and decoding, and commit only what is answered and confirmed. A
consumer runs on each core. None has an archive, versions of models, feedback or isolation of a payload's preprocessing.
"""
