"""What is to be sent: phantoms, or a user's own files."""

from __future__ import annotations

from pathlib import Path

from vna.bench.templates import Template
from vna.errors import Invalid

__all__ = ["prepare"]


def prepare(mix: str, folder: Path | None = None) -> list[Template]:
    """Return the templates of a mix, or of the files in a folder; Invalid says what is wrong.

    NumPy and Pillow make the phantoms and are loaded for them alone.
    """
    if folder:
        from vna.bench.own_files import own_files  # noqa: PLC0415

        return own_files(folder)
    try:
        from vna.bench.phantoms import MIXES, phantoms  # noqa: PLC0415
    except ImportError as error:
        raise Invalid(f"phantoms need {error.name}: pip install 'vna[bench]'") from None
    if mix not in MIXES:
        raise Invalid(f"{mix!r} is not a mix; there are {', '.join(MIXES)}")
    return phantoms(mix)
