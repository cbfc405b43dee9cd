"""The walk-through of CONTRIBUTING.md's section "Add a task", as its reader would type it."""

import re

from tests.support.documents import CONTRIBUTING, snippets

BLOCKS = [snippet.code for snippet in snippets(CONTRIBUTING)]

PLATFORM = re.compile("make run|hindsight send")
"""What needs a platform: `tests/integration/test_new_task.py` tries it."""
