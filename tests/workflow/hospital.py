"""Small series of a small hospital, and policies followed for them."""

import random
import threading

from vna.testing.images import ct_image
from vna.workflow import TieringSettings, follow_policies, planned_moves

DAY_NS = 86_400 * 10**9


def image(number, day, modality="CT"):
    return ct_image(
        f"1.2.3.{number}",
        StudyInstanceUID=f"1.2.{number}",
        SeriesInstanceUID=f"1.2.{number}.1",
        StudyDate=day,
        Modality=modality,
        Rows=1,
        Columns=3000,
        PixelData=random.Random(number).randbytes(6000),
    )


def follow_once(archive, policies):
    """Follow policies until there is nothing to do."""
    stop = threading.Event()
    settings = TieringSettings(rate_bytes_s=1 << 40)
    working = threading.Thread(target=follow_policies, args=(archive, policies, settings, stop))
    working.start()
    for _ in range(2000):
        if not list(planned_moves(archive, policies)):
            break
        stop.wait(0.01)
    stop.set()
    working.join(30)
    assert not working.is_alive()
