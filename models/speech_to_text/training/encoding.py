"""From a text to the tokens that the decoder writes for it: byte pair encoding with the vocabulary's own order.

Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units", ACL 2016; the vocabulary is one of
SentencePiece, whose pieces stand in the order in which they were merged.
"""

from collections.abc import Sequence

from models.speech_to_text.vocabulary import CONTROLS, SPACE


class Encoding:
    """Writes texts as tokens."""

    def __init__(self, vocabulary: Sequence[bytes]) -> None:
        """Take the tokens' bytes."""
        self._numbers = {piece: number for number, piece in enumerate(vocabulary)}  # a piece comes after its byte
        self._bytes = {bytes([byte]): CONTROLS + byte for byte in range(256)}

    def tokens(self, text: str) -> list[int]:
        """Return the tokens of a text; bytes that no piece has are tokens of their own."""
        pieces = [SPACE if symbol == " " else symbol.encode() for symbol in f" {text}"]
        while pairs := [
            (number, place)
            for place in range(len(pieces) - 1)
            if (number := self._numbers.get(pieces[place] + pieces[place + 1])) is not None
        ]:
            _, place = min(pairs)
            pieces[place : place + 2] = [pieces[place] + pieces[place + 1]]
        return [token for piece in pieces for token in self._of_piece(piece)]

    def _of_piece(self, piece: bytes) -> list[int]:
        if (number := self._numbers.get(piece)) is not None:
            return [number]
        return [self._bytes[bytes([byte])] for byte in piece]
