"""Creates the task of a foreign model, from a file or folder to a folder with passing tests."""

from collections.abc import Collection, Sequence
from pathlib import Path

from app.templates.foreign.design import Design, design_task
from app.templates.foreign.folder import write_task
from app.templates.foreign.hints import Hints
from app.templates.foreign.hugging_face import find_model, read_hints
from app.templates.foreign.model_file import ModelFile
from app.templates.foreign.notes import Notes
from app.templates.scaffold import CreatedTask, create_task


def create_foreign_task(
    name: str,
    directory: Path,
    tasks: Collection[str],
    source: Path,
    kind: str | None,
    hints: Hints,
    samples: Sequence[Path],
) -> tuple[CreatedTask, ModelFile, Design]:
    """Write the task of an ONNX file, or of a folder in the layout of the Hugging Face Hub. Raises `SetupError`.

    `kind` and `hints` are what the user says; they count before what the model and the files beside it say.
    """
    notes, path = Notes(), source
    if source.is_dir():
        path = find_model(source)
        hints = hints.over(read_hints(source), f"the configuration in {source}", notes)
    model = ModelFile.open(path)
    design = design_task(model, hints, kind, notes)

    def write(name: str, class_name: str, folder: Path) -> None:
        write_task(name, class_name, model, design, samples, folder)

    return create_task(name, directory, tasks, write), model, design
