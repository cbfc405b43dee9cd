"""A file of two pages, in ASCII, and the output of a task that reads pages."""

from typing import Any

PDF = b"""%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj
2 0 obj<</Type/Pages/Kids[3 0 R 4 0 R]/Count 2/MediaBox[0 0 100 50]>>endobj
3 0 obj<</Type/Page/Parent 2 0 R>>endobj
4 0 obj<</Type/Page/Parent 2 0 R>>endobj
trailer<</Root 1 0 R>>
"""

PAGES: dict[str, Any] = {
    "text": "first\nsecond\n\nthird",
    "lines": [
        {"text": "first", "polygon": [[10, 10], [90, 10], [90, 20], [10, 20]], "confidence": 0.95, "page": 0},
        {"text": "second", "polygon": [[10, 30], [90, 30], [90, 40], [10, 40]], "confidence": 0.5, "page": 0},
        {"text": "third", "polygon": [[10, 10], [90, 10], [90, 20], [10, 20]], "confidence": 0.7, "page": 1},
    ],
}
