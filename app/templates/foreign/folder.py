"""Writes the folder of a foreign model's task: the class, the version, samples and tests."""

import hashlib
import json
import shutil
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.templates.foreign.design import Design
from app.templates.foreign.model_file import ModelFile
from app.templates.foreign.samples import write_samples
from models.foreign.runtime import RUNTIME, ForeignModel
from models.manifest import MANIFEST, MODEL, Manifest, VersionFiles, listed
from models.runtimes import Execution

_TASK = '''"""{summary}

Written by `hindsight new-task` for a model that somebody else exported:

{model}

Size and fitting of payloads are below; normalisation, outputs and labels are in versions/1/manifest.json. A change of
what `preprocess` returns needs another `preprocess_version`.
{assumed}"""

{standard}from typing import ClassVar

{imports}


class {class_name}({bases}):
    """{summary}"""

    name: ClassVar[str] = "{name}"
    preprocess_version: ClassVar[str] = "1"
{attributes}'''
_TESTS = '''"""Tests of the task: the laws of all tasks (see `app.testing`), and what this task can't read.

The samples' corrections are what the model answered when this was written: correct them in samples/samples.json.
"""

from app.testing import TaskTests

from . import {class_name}


class Test{class_name}(TaskTests):
    """Each law is a test."""

    task = {class_name}()
    rejected_payloads = {payloads}
    rejected_corrections = {corrections}
    min_sample_score = {min_score}
'''
_SUMMARIES = {
    "classification": "Gives {payload} one of {labels}.",
    "ctc": "Reads the text of {payload}.",
    "detection": "Finds objects of {labels} in {payload}.",
    "bandit": "Chooses one of {labels} for {payload}.",
}
_PAYLOADS = {"image": "a picture", "samples": "a recording", "numbers": "a vector of numbers"}
_UNREADABLE = {
    "image": '((b"", "empty"), (b"no picture", "not_an_image"))',
    "samples": '((b"", "empty"), (b"no recording", "not_audio"))',
    "numbers": '((b"", "not_json"), (b"[]", "bad_columns"), (b"{}", "bad_columns"))',
}
_UNTRUE = {
    "classification": '({}, {"label": "no such label"}, {"text": "a"})',
    "ctc": '({}, {"text": 1}, {"label": "a"})',
    "detection": '({}, {"boxes": 1}, {"boxes": [{"box": [0, 0, 1, 1], "label": "no such label"}]})',
    "bandit": '({}, {"action": "no such action"}, {"label": "a"})',
}


def write_task(
    name: str, class_name: str, model: ModelFile, design: Design, given: Sequence[Path], folder: Path
) -> None:
    """Write all files into a new folder. Raises `SetupError` if the task can't answer a sample."""
    version = folder / "versions" / "1"
    version.mkdir(parents=True)
    shutil.copyfile(model.path, version / MODEL)
    manifest = _manifest(model, design, (version / MODEL).read_bytes())
    (version / MANIFEST).write_bytes(manifest.content())
    (version / "card.json").write_text(json.dumps(_card(name, model, design), indent=2, ensure_ascii=False) + "\n")
    runtime = ForeignModel(VersionFiles.of(version / MANIFEST), Execution(threads=1))
    write_samples(design, runtime, given, folder / "samples")
    summary = summary_of(design)
    (folder / "__init__.py").write_text(
        f'"""{summary}"""\n\nfrom .task import {class_name}\n\n__all__ = ["{class_name}"]\n'
    )
    (folder / "task.py").write_text(_task(name, class_name, model, design))
    (folder / "test_task.py").write_text(
        _TESTS.format(
            class_name=class_name,
            min_score="0.0  # actions are drawn" if design.kind == "bandit" else "1.0",
            payloads=_UNREADABLE[design.options.input.kind],
            corrections=_UNTRUE[design.kind],
        )
    )


def summary_of(design: Design) -> str:
    """Return what the task does, in a sentence."""
    payload = _PAYLOADS[design.options.input.kind]
    noun, count = "action" if design.kind == "bandit" else "class", len(design.labels)
    labels = f"{count} {noun}{'' if count == 1 else 's' if noun == 'action' else 'es'}"
    return _SUMMARIES[design.kind].format(payload=payload, labels=labels)


def _manifest(model: ModelFile, design: Design, content: bytes) -> Manifest:
    return Manifest(
        runtime=RUNTIME,
        files=listed({MODEL: content}),
        options=design.options.model_dump(mode="json", exclude_defaults=False),
        labels=design.labels,
        licence=design.licence,
        source=model.path.name,
    )


def _card(name: str, model: ModelFile, design: Design) -> dict[str, Any]:
    return {
        "task": name,
        "version": "1",
        "preprocess_version": "1",
        "source": {
            "file": model.path.name,
            "sha256": hashlib.sha256(model.path.read_bytes()).hexdigest(),
            "opset": model.opset,
            "inputs": [str(tensor) for tensor in model.inputs],
            "outputs": [str(tensor) for tensor in model.outputs],
        },
        "known": design.notes.known,
        "assumed": design.notes.assumed,
    }


def _task(name: str, class_name: str, model: ModelFile, design: Design) -> str:
    names = dict(design.bases)
    if "resize" in design.attributes:
        names["images"] += ", Resize"
    imports = [f"from models.foreign.{module} import {imported}" for module, imported in sorted(names.items())]
    assumed = "".join(_wrapped(f"- {note}") for note in design.notes.assumed)
    return _TASK.format(
        summary=summary_of(design),
        model=_wrapped(str(model), "    ").rstrip("\n"),
        assumed=f"\nAssumed, because the model does not say it:\n\n{assumed}" if assumed else "",
        standard="from collections.abc import Sequence\n" if "columns" in design.attributes else "",
        imports="\n".join(imports),
        class_name=class_name,
        bases=", ".join(base for _, base in design.bases),
        name=name,
        attributes="".join(_attribute(*pair) for pair in design.attributes.items()),
    )


def _wrapped(text: str, indent: str = "") -> str:
    text = text.replace("\\", "/").replace('"""', "'''")
    lines = textwrap.wrap(text, 110, initial_indent=indent, subsequent_indent=indent or "  ", break_long_words=False)
    return "\n".join(lines) + "\n"


def _attribute(name: str, value: Any) -> str:
    if isinstance(value, tuple):
        entries = "".join(f"        {json.dumps(entry, ensure_ascii=False)},\n" for entry in value)
        return f"    {name}: ClassVar[Sequence[str]] = (\n{entries}    )\n"
    kind = "Resize" if name == "resize" else type(value).__name__
    return f"    {name}: ClassVar[{kind}] = {json.dumps(value) if isinstance(value, str) else repr(value)}\n"
