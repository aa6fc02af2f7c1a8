"""The running archive: processes, sockets, wiring, order of start and stop.

Glossary
    supervisor   the process that owns the listening sockets and keeps the workers running
    worker       a process with one event loop that serves both fronts
    background   a process that reads everything back, and compacts packs, while others serve
    order        what the supervisor hands to a worker when it starts
    drain        no longer accepting, and finishing what has begun
    listeners    the two listening sockets, shared by all workers
"""

from vna.app.gather import Noted
from vna.app.importing import ImportReport, import_files
from vna.app.sending import sender
from vna.app.sockets import Listeners
from vna.app.supervisor import run

__all__ = ["ImportReport", "Listeners", "Noted", "import_files", "run", "sender"]
