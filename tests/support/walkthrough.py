"""The walk-through of CONTRIBUTING.md's section "Add a task", as its reader would type it."""

import re

from app.settings import CHECKOUT

_SECTION = (CHECKOUT / "CONTRIBUTING.md").read_text().partition("## Add a task\n")[2].partition("\n## ")[0]

BLOCKS = re.findall(r"^```sh\n(.*?)^```$", _SECTION, re.DOTALL | re.MULTILINE)

PLATFORM = re.compile("make run|hindsight send")
"""What needs a platform: `tests/integration/test_new_task.py` tries it."""
