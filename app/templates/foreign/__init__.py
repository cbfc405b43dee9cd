"""Writes the task of a model that somebody else exported: `hindsight new-task --from`.

`hints` collects what the user and the files beside the model say, `model_file` what the model says, `design` (with
`input_design`, `head_design`, `detection_design` and `kinds`) what follows from it, `folder` writes it down.
"""
