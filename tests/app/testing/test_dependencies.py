"""What serves imports neither a test's tools nor, through `app.testing`, what only tests need."""

import subprocess
import sys


def test_app_testing_needs_no_test_framework_and_no_transport_until_a_property_is_tested() -> None:
    unwanted = "{'hypothesis', 'pytest', 'aiokafka', 'faust', 'fastapi', 'grpc', 'mlserver', 'pyflink'}"
    code = f"import sys, app.testing; found = {unwanted} & set(sys.modules); assert not found, found"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_missing_hypothesis_is_reported_with_the_remedy() -> None:
    code = (
        "import sys; sys.modules['hypothesis'] = None\n"
        "from app.errors import SetupError\n"
        "from app.testing import TaskTests\n"
        "from app.templates.task import NewTask\n"
        "class Tests(TaskTests): task = NewTask()\n"
        "try: Tests().test_any_payload_becomes_features_or_is_rejected()\n"
        "except SetupError as error: assert 'pip install hypothesis' in str(error)\n"
        "else: raise AssertionError('nothing is missing')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
