import resource
import subprocess
import sys

from app.settings import CHECKOUT

RAISE = """
import resource
from app.embedded.resource_limits import raise_file_limit
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
raise_file_limit()
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


def test_the_limit_of_open_files_is_raised_as_far_as_the_machine_allows() -> None:
    result = subprocess.run([sys.executable, "-c", RAISE], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    assert int(result.stdout) == allowed
