"""Small series of a small hospital, and policies followed for them."""

import random
import threading

from vna.archive import Pace
from vna.testing.images import ct_image
from vna.workflow import follow_plan

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
    """Move what policies ask for now."""
    follow_plan(archive, policies, Pace(archive.clock, threading.Event()))
