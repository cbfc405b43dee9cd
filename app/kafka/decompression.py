"""Kafka's compression codecs, with a bound on the decompressed size."""

import struct
from collections.abc import Iterator

import cramjam

_GZIP, _SNAPPY, _LZ4, _ZSTD = 1, 2, 3, 4
_DECOMPRESS = {
    _GZIP: cramjam.gzip.decompress_into,
    _LZ4: cramjam.lz4.decompress_into,
    _ZSTD: cramjam.zstd.decompress_into,
}
_XERIAL_MAGIC = b"\x82SNAPPY\x00"
_XERIAL_HEADER_BYTES = 16
_BLOCK_LENGTH = struct.Struct(">i")


class DecompressedTooLarge(ValueError):
    """Compressed data that expands beyond the limit."""


def decompress(codec: int, data: memoryview, limit: int) -> bytes:
    """Decompress data of one of Kafka's codecs to at most `limit` bytes. Raises DecompressedTooLarge, ValueError."""
    if codec == _SNAPPY:
        return b"".join(_snappy_blocks(data, limit))
    decompress_into = _DECOMPRESS.get(codec)
    if decompress_into is None:
        raise ValueError(f"{codec} is not a codec of Kafka")
    size = min(limit, 4 * len(data) + 4096)
    while True:
        buffer = bytearray(size)
        try:
            return bytes(memoryview(buffer)[: decompress_into(data, buffer)])
        except cramjam.DecompressionError as error:
            if size == limit:
                raise DecompressedTooLarge(f"it cannot be decompressed to at most {limit} bytes: {error}") from error
        size = min(limit, 4 * size)


def _snappy_blocks(data: memoryview, limit: int) -> Iterator[bytes]:
    """Yield the blocks of Snappy as Java writes it (xerial's framing), or the single block that others write."""
    position, framed = 0, data[: len(_XERIAL_MAGIC)] == _XERIAL_MAGIC
    if framed:
        position = _XERIAL_HEADER_BYTES
    while position < len(data):
        size = len(data)
        if framed:
            [size] = _BLOCK_LENGTH.unpack_from(data, position)
            position += _BLOCK_LENGTH.size
        if size < 0 or position + size > len(data):
            raise ValueError(f"a block has {size} bytes, but {len(data) - position} are left")
        block = bytes(data[position : position + size])
        limit -= int(cramjam.snappy.decompress_raw_len(block))
        if limit < 0:
            raise DecompressedTooLarge(f"it expands to {-limit} bytes more than the limit")
        yield bytes(cramjam.snappy.decompress_raw(block))
        position += size
