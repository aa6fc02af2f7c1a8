"""DIMSE: the archive as an application entity on the network (PS3.4, PS3.7, PS3.8).

Glossary
    association   a connection on which two application entities have agreed what to exchange
    acceptor      the side that was asked for the association; requestor, the side that asked
    context       presentation context: a SOP class and a transfer syntax, under an odd number
    SCU, SCP      who uses a service, and who provides it; usually requestor and acceptor
    command       a message's first part, which may announce a data set
    identifier    the data set of a query or retrieval
    operation     a request being served, up to its last response
    sub-operation one C-STORE on behalf of a C-MOVE or C-GET

`pdu`, `commands`, `machine`, `negotiation`, `statuses` and `identifiers` do no I/O; `association`
is the asyncio around them, `server` and `acceptor` the SCP, `scu` the SCU.
"""

from vna.dimse.scu import Scu
from vna.dimse.sending import send_objects
from vna.dimse.server import DimseServer, serve
from vna.dimse.settings import DimseSettings

__all__ = ["DimseServer", "DimseSettings", "Scu", "send_objects", "serve"]
