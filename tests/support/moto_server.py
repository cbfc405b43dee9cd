"""moto's S3 server as a process: `python -m tests.support.moto_server PORT`.

It prints its access key and secret key, and checks signatures with them. Each line on standard input starts or stops
its listener; the buckets keep their objects. The process ends with standard input, and so with the tests.
"""

import json
import os
import sys

os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "0"  # read on import: even the first request needs a signature

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.iam.models import iam_backends
from moto.server import ThreadedMotoServer

_EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
_USER = "tests"


def main(port: int) -> None:
    """Serve until standard input ends."""
    users = iam_backends[DEFAULT_ACCOUNT_ID]["aws"]
    users.create_user("us-east-1", _USER)
    users.put_user_policy(_USER, "everything", json.dumps(_EVERYTHING))
    key = users.create_access_key(_USER)
    print(key.access_key_id, key.secret_access_key, flush=True)
    server: ThreadedMotoServer | None = None
    for _ in sys.stdin:
        if server is None:
            server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
            server.start()
        else:
            server.stop()
            server = None
        print("listening" if server else "stopped", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
