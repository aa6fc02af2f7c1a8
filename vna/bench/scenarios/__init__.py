"""The scenarios, one file per family, by name."""

from vna.bench.scenarios.crowd import Echo, Hostile, Idle
from vna.bench.scenarios.reading import ReadingRoom, Storm, Viewer
from vna.bench.scenarios.retrieve import Get, Move
from vna.bench.scenarios.search import Find, QidoDate, QidoMix, QidoName, QidoPages, QidoPatient
from vna.bench.scenarios.store import Fill, Nagle, Store
from vna.bench.scenarios.stow import FillWeb, Stow
from vna.bench.scenarios.wado import (
    FarFrame,
    Frame,
    Instance,
    MetadataCold,
    MetadataWarm,
    NearFrame,
    Study,
)
from vna.bench.stage import Scenario

__all__ = ["SCENARIOS"]

SCENARIOS: dict[str, type[Scenario]] = {
    kind.name: kind
    for kind in (
        Store,
        Nagle,
        Stow,
        QidoMix,
        QidoPatient,
        QidoDate,
        QidoName,
        QidoPages,
        Find,
        Frame,
        Instance,
        Study,
        MetadataWarm,
        MetadataCold,
        NearFrame,
        FarFrame,
        Get,
        Move,
        Viewer,
        ReadingRoom,
        Storm,
        Echo,
        Idle,
        Hostile,
        Fill,
        FillWeb,
    )
}
