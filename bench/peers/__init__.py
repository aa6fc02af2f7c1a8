"""Servers under measurement: started on free loopback ports, fed, measured as process trees, stopped."""

from peers.dcmtk import Dcmqrscp, Storescp
from peers.floor import Floor
from peers.nginx import Nginx
from peers.orthanc import Orthanc, OrthancStock
from peers.pynetdicom import Pynetdicom
from peers.server import Server
from peers.vna import Vna, VnaCached, VnaOneWorker, VnaTiering

__all__ = ["PEERS", "Server"]

PEERS: tuple[type[Server], ...] = (
    Vna,
    VnaCached,
    Orthanc,
    OrthancStock,
    Storescp,
    Dcmqrscp,
    Pynetdicom,
    Nginx,
    VnaOneWorker,
    VnaTiering,
    Floor,
)
