"""Servers under measurement: started on free loopback ports, measured as a process tree, stopped."""

from peers.orthanc import Orthanc
from peers.server import Server
from peers.vna import Vna, VnaRaw

__all__ = ["Orthanc", "Server", "Vna", "VnaRaw"]
