"""Phrases of one to six words by chance, from a small vocabulary of numbers and commands.

No two words of the vocabulary sound alike, so the sound determines the text.
"""

from numpy.random import Generator

UNITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
TENS = ("twenty", "thirty", "forty", "fifty")
VERBS = ("turn", "open", "close", "start", "stop", "play", "pause", "set", "call", "send", "read", "move", "cancel")
PLACES = ("on", "off", "up", "down", "left", "right", "next", "back")
THINGS = ("light", "heating", "music", "radio", "door", "window", "volume", "timer", "alarm", "message", "channel")
ROOMS = ("kitchen", "bedroom", "garage")
MEASURES = ("minutes", "seconds", "degrees", "percent")
ANSWERS = ("yes", "no", "please", "repeat")

VOCABULARY = (*UNITS, *TENS, *VERBS, *PLACES, *THINGS, *ROOMS, *MEASURES, *ANSWERS)
MAX_WORDS = 6

_COMMANDS = (
    "turn {on|off} {light|heating|music|radio}",
    "turn {on|off} {ROOM} {light|heating|radio}",
    "{open|close} {ROOM} {door|window}",
    "{open|close} {door|window} please",
    "set {timer|alarm} {NUMBER} {minutes|seconds}",
    "{cancel|repeat} {timer|alarm|message}",
    "set {ROOM} heating {NUMBER} degrees",
    "set volume {NUMBER} percent",
    "volume {up|down} {NUMBER}",
    "{play|pause|stop|start} {music|radio}",
    "{next|play} channel {NUMBER}",
    "{send|read|repeat} {next|message} {NUMBER}",
    "move {up|down|left|right|back} {NUMBER}",
    "{left|right} {NUMBER} degrees",
    "{yes|no} {please|cancel|repeat|stop|next}",
    "{ANSWER}",
    "call {DIGIT} {DIGIT} {DIGIT} {DIGIT}",
)
_GROUPS = {"ROOM": ROOMS, "ANSWER": (*ANSWERS, *VERBS, *PLACES), "DIGIT": UNITS[:10]}


def phrase(rng: Generator) -> str:
    """Return a phrase: half are commands, a quarter digits, a quarter words in any order, which teach no grammar."""
    kind = rng.random()
    if kind < 0.5:
        return _filled(_pick(rng, _COMMANDS), rng)
    words = UNITS if kind < 0.75 else VOCABULARY
    return " ".join(_pick(rng, words) for _ in range(int(rng.integers(1, MAX_WORDS + 1))))


def _filled(pattern: str, rng: Generator) -> str:
    """Return the pattern with a choice made in each pair of braces."""
    while "{" in pattern:
        before, rest = pattern.split("{", 1)
        choices, after = rest.split("}", 1)
        choice = _number(rng) if choices == "NUMBER" else _pick(rng, _GROUPS.get(choices) or tuple(choices.split("|")))
        pattern = before + choice + after
    return pattern


def _number(rng: Generator) -> str:
    if rng.random() < 0.6:
        return _pick(rng, UNITS)
    tens = _pick(rng, TENS)
    return tens if rng.random() < 0.4 else f"{tens} {_pick(rng, UNITS[1:10])}"


def _pick(rng: Generator, choices: tuple[str, ...]) -> str:
    return choices[int(rng.integers(len(choices)))]
