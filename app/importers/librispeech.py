"""LibriSpeech's layout (Panayotov et al., ICASSP 2015): speaker/chapter/, a transcript in each chapter's folder.

Each line of `84-121123.trans.txt` has the id of a recording and its text; `84-121123-0000.flac` is in the same folder.
"""

from collections.abc import Callable, Collection, Iterator

from app.importers.example import Example, ParsedRow, RejectedRow
from app.importers.payload_files import AUDIO_SUFFIXES
from app.importers.text import numbered_lines

TRANSCRIPT_SUFFIX = ".trans.txt"


def read_examples(uris: Collection[str], lines: Callable[[str], Iterator[bytes]]) -> Iterator[ParsedRow]:
    """Yield the recordings of a directory, given the URIs of all its files. Each speaker is an entity.

    A line without a recording, and a recording without a line, are rejected.
    """
    audio = {uri.rpartition(".")[0]: uri for uri in uris if uri.endswith(AUDIO_SUFFIXES)}
    transcribed = set()
    for transcript in sorted(uri for uri in uris if uri.endswith(TRANSCRIPT_SUFFIX)):
        folder, _, name = transcript.rpartition("/")
        for where, line in numbered_lines(lines(transcript), name):
            if isinstance(line, RejectedRow):
                yield line
                continue
            recording_id, _, text = line.strip().partition(" ")
            transcribed.add(f"{folder}/{recording_id}")
            uri = audio.get(f"{folder}/{recording_id}")
            if uri is None:
                reason = f"the folder has no {recording_id} with {', '.join(AUDIO_SUFFIXES)}"
                yield RejectedRow(where, "no_audio", reason)
            elif not text.strip():
                yield RejectedRow(where, "no_text", f"there is no text after {recording_id}")
            else:
                speaker = f"speaker {recording_id.partition('-')[0]}"
                yield Example(where, uri, uri, {"text": text.strip()}, entity=speaker)
    for stem in sorted(audio.keys() - transcribed):
        name = audio[stem].rpartition("/")[2]
        yield RejectedRow(name, "no_transcript", f"no *{TRANSCRIPT_SUFFIX} in its folder has a line for it")
