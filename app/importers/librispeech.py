"""LibriSpeech's layout (Panayotov et al., ICASSP 2015): speaker/chapter/, a transcript in each chapter's folder.

`84-121123.trans.txt` has the id of a recording and its text in each line; `84-121123-0000.flac` lies beside it.
"""

from collections.abc import Callable, Collection, Iterator

from app.importers.example import Example, ParsedRow, RejectedRow, numbered_lines

TRANSCRIPT_SUFFIX = ".trans.txt"
AUDIO_SUFFIXES = (".flac", ".wav", ".ogg")


def read_examples(uris: Collection[str], lines: Callable[[str], Iterator[bytes]]) -> Iterator[ParsedRow]:
    """The recordings below a directory, given the URIs of all of its files. A speaker is an entity.

    A line without a recording, and a recording without a line, are unusable.
    """
    audio = {uri.rpartition(".")[0]: uri for uri in uris if uri.endswith(AUDIO_SUFFIXES)}
    said = set()
    for transcript in sorted(uri for uri in uris if uri.endswith(TRANSCRIPT_SUFFIX)):
        folder, _, name = transcript.rpartition("/")
        for where, line in numbered_lines(lines(transcript), name):
            if isinstance(line, RejectedRow):
                yield line
                continue
            unique, _, text = line.strip().partition(" ")
            said.add(f"{folder}/{unique}")
            uri = audio.get(f"{folder}/{unique}")
            if uri is None:
                yield RejectedRow(where, "no_audio", f"there is no {unique} with {', '.join(AUDIO_SUFFIXES)} beside it")
            elif not text.strip():
                yield RejectedRow(where, "no_text", f"there is no text behind {unique}")
            else:
                speaker = f"speaker {unique.partition('-')[0]}"
                yield Example(where, uri, uri, {"text": text.strip()}, entity=speaker)
    for stem in sorted(audio.keys() - said):
        name = audio[stem].rpartition("/")[2]
        yield RejectedRow(name, "no_transcript", f"no line of a *{TRANSCRIPT_SUFFIX} beside it is about it")
