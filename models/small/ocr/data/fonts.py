"""The fonts that printed lines are rendered from, split by family: no font of the test is in training.

All come with Python packages of the `train` group, so a new machine has them; all are under open licences.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

Split = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class Family:
    """One family: the package that ships it, the pattern of its files there, its licence."""

    name: str
    package: str
    pattern: str
    licence: str


_MATPLOTLIB = "mpl-data/fonts/ttf"
_OFL, _VERA, _CM = "SIL OFL 1.1", "Bitstream Vera / DejaVu", "BaKoMa (free use and distribution)"

FAMILIES: dict[Split, tuple[Family, ...]] = {
    "train": (
        Family("DejaVu Sans", "matplotlib", f"{_MATPLOTLIB}/DejaVuSans[-.][!D]*", _VERA),
        Family("DejaVu Sans Mono", "matplotlib", f"{_MATPLOTLIB}/DejaVuSansMono*", _VERA),
        Family("DejaVu Serif", "matplotlib", f"{_MATPLOTLIB}/DejaVuSerif[-.]*", _VERA),
        Family("STIX General", "matplotlib", f"{_MATPLOTLIB}/STIXGeneral*", _OFL),
        Family("Computer Modern Sans", "matplotlib", f"{_MATPLOTLIB}/cmss10.ttf", _CM),
        Family("Computer Modern Typewriter", "matplotlib", f"{_MATPLOTLIB}/cmtt10.ttf", _CM),
        Family("Source Sans Pro", "font_source_sans_pro", "files/*.ttf", _OFL),
        Family("Source Serif Pro", "font_source_serif_pro", "files/*.ttf", _OFL),
        Family("Hanken Grotesk", "font_hanken_grotesk", "files/*.otf", _OFL),
        Family("Red Hat Display", "font_rhd", "files/*.ttf", _OFL),
        Family("Fredoka One", "font_fredoka_one", "files/*.ttf", _OFL),
        Family("Fjalla One", "font_fjallaone", "files/*.ttf", _OFL),
        Family("Intuitive", "font_intuitive", "files/*.ttf", _OFL),
    ),
    "validation": (
        Family("Manrope", "font_manrope", "files/*-[!V]*.ttf", _OFL),
        Family("Computer Modern Roman", "matplotlib", f"{_MATPLOTLIB}/cm[rb]10.ttf", _CM),
    ),
    "test": (
        Family("Roboto", "font_roboto", "files/*.ttf", "Apache 2.0"),
        Family("Lato", "font_lato", "files/*.ttf", _OFL),
        Family("Caladea", "font_caladea", "files/*.ttf", "Apache 2.0"),
    ),
}


def font_files(family: Family) -> list[Path]:
    """Return the family's files, one a style. Raises `FileNotFoundError` if its package isn't installed."""
    spec = find_spec(family.package)
    folder = Path(spec.origin).parent if spec and spec.origin else Path()
    files = sorted(path for path in folder.glob(family.pattern) if path.suffix in (".ttf", ".otf")) if spec else []
    if not files:
        raise FileNotFoundError(
            f"no files of the font {family.name}: `uv sync --group train` installs {family.package}"
        )
    return files
