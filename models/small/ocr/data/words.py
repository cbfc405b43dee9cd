"""Texts of printed lines: words, names, numbers and codes by chance.

Most words are invented from syllables, so that a network can't learn a vocabulary in place of letters.
"""

from numpy.random import Generator


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


COMMON = _words("""
    a about account address after all amount an and any are as at back bank be been before bill book box but by call
    can card cash change city code come company copy cost country credit customer date day delivery description do due
    each east email end fee final first floor follow for from full get give go good goods gross group hand has have he
    here high his home hour house how I if in into invoice is issue it item its just keep kind know label large last
    late left less letter life like line list little long look made mail make man many may member month more most much
    name near need net new next no north not note number of off office old on one only open or order other our out over
    own page paid part payment people phone place please point post price public quantity quick quote rate read ready
    receipt record reference report return right room sale same school see send sent service set she ship shipping shop
    side sign size small so some south state station statement still stock store street such take tax team tel than that
    the their them then there they thing this three time to today total town transfer two type under unit until up us
    use value very via visit volume was water way we week weight well west what when where which who will with word work
    world year yes you your zip
""")

_STARTS = _words("""
    b c d f g h j k l m n p q r s t v w x y z bl br ch cl cr dr fl fr gl gr kn ph pl pr qu sc sh sk sl sn sp st str sw
    th tr tw wh
""")
_MIDDLES = _words("a e i o u a e i o u ai au ea ee ei ia ie io oa oi oo ou ue y")
_ENDS = _words("""
    . . . b c d f g k l m n p r s t v w x z ck ct ff ft ld ll lm lt mp nd ng nk nt pt rd rk rm rn rt ss st th
""")  # a point: none
_CODE_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"  # without I and O, as codes for people are printed
_DIGITS = "0123456789"


def text_line(rng: Generator) -> str:
    """Return one to four words, numbers or codes, at most 28 symbols."""
    case = rng.random()
    text = " ".join(_token(rng, case) for _ in range(int(rng.integers(1, 5))))
    return text[:28].strip()


def _token(rng: Generator, case: float) -> str:
    kind = rng.random()
    if kind < 0.13:
        return _pick(rng, _DIGITS, int(rng.integers(1, 9)))
    if kind < 0.21:
        return _pick(rng, _CODE_LETTERS + _DIGITS, int(rng.integers(3, 9)))
    word = COMMON[int(rng.integers(len(COMMON)))] if kind < 0.4 else _invented(rng)
    if case < 0.2:
        return word.upper()
    return word.capitalize() if rng.random() < 0.35 else word


def _invented(rng: Generator) -> str:
    syllables = (
        _pick(rng, _STARTS) + _pick(rng, _MIDDLES) + _pick(rng, _ENDS).strip(".")
        for _ in range(int(rng.integers(1, 4)))
    )
    return "".join(syllables)


def _pick(rng: Generator, choices: str | tuple[str, ...], count: int = 1) -> str:
    return "".join(choices[int(number)] for number in rng.integers(len(choices), size=count))
