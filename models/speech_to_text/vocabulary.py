"""The pieces of text that the recogniser's tokens stand for.

The file has the bytes of one token after the other, each with its length before it: one byte below 128, or two, the
second in units of 128. Three tokens control the decoder; one for each byte writes what no other can.
"""

from collections.abc import Sequence

BEGIN, END = 1, 2
CONTROLS = 3
SPACE = "\N{LOWER ONE EIGHTH BLOCK}".encode()


def read_vocabulary(content: bytes) -> list[bytes]:
    """Return the bytes of each token, in order. Raises `ValueError` for a file that is cut."""
    tokens: list[bytes] = []
    at = 0
    while at < len(content):
        length, at = content[at], at + 1
        if length >= 128 and at < len(content):
            length, at = length - 128 + 128 * content[at], at + 1
        if at + length > len(content):
            raise ValueError(f"the vocabulary ends within token {len(tokens)}")
        tokens.append(content[at : at + length])
        at += length
    return tokens


def text_of(tokens: Sequence[int], vocabulary: Sequence[bytes]) -> str:
    """Return the text of tokens, without those that control the decoder, in single spaces."""
    pieces = b"".join(vocabulary[token] for token in tokens if token >= CONTROLS)
    return " ".join(pieces.replace(SPACE, b" ").decode(errors="replace").split())
