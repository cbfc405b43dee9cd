"""The walkthrough of CONTRIBUTING.md, as shell commands that a reader would type."""

import re

from tests.support.documents import CONTRIBUTING, Snippet, snippets


def _to_shell(snippet: Snippet) -> str:
    return snippet.code if snippet.language == "sh" else f".venv/bin/python - <<'PYTHON'\n{snippet.code}PYTHON\n"


BLOCKS = [_to_shell(snippet) for snippet in snippets(CONTRIBUTING)]

PLATFORM = re.compile("make run|hindsight send")
"""Matches the blocks that need a platform; `tests/integration/test_new_task.py` runs them."""
