"""Hides Apache Beam from PyFlink in thread mode, where nothing needs it.

PyFlink imports Beam, if there is one, for its extensions of process mode: 3 s and 150 MiB, in both processes.
"""

raise ImportError("PyFlink's thread mode does not need Apache Beam")
