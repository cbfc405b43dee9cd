"""The sizes of the code: a reader can keep a file and a function in mind."""

import ast
from pathlib import Path

from app.settings import CHECKOUT

MAX_FILE_LINES, MAX_FUNCTION_LINES = 300, 60
FOLDERS = ("app", "agents", "models", "tables", "migrations", "tests", "benchmarks", "docker")
FILES = {path.relative_to(CHECKOUT): path.read_text() for name in FOLDERS for path in (CHECKOUT / name).rglob("*.py")}


def function_lengths(path: Path) -> dict[str, int]:
    """Return the lines of each function of a file."""
    functions = [
        node for node in ast.walk(ast.parse(FILES[path])) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return {f"{path}:{node.name}": (node.end_lineno or 0) - node.lineno + 1 for node in functions}


def test_no_file_is_too_long() -> None:
    lengths = {str(path): len(text.splitlines()) for path, text in FILES.items()}
    assert {path: length for path, length in lengths.items() if length > MAX_FILE_LINES} == {}


def test_no_function_is_too_long() -> None:
    lengths = {name: length for path in FILES for name, length in function_lengths(path).items()}
    assert lengths
    assert {name: length for name, length in lengths.items() if length > MAX_FUNCTION_LINES} == {}
