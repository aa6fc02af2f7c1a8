"""A message whose data set is read while it leaves, no faster than the peer takes it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from vna._native import pdata
from vna.dimse.association import Association, Buffer
from vna.errors import VnaError

__all__ = ["send_stream"]


async def send_stream(
    association: Association,
    context: int,
    command: bytes,
    runs: AsyncIterator[Sequence[Buffer]],
) -> None:
    """Send a message whose data set comes in runs of pieces; `command` is its command set, encoded.

    Raises AssociationLost, or what `runs` raises: before anything was sent the association goes on,
    later it is aborted, as the message cannot be ended.
    """
    limit = association.peer_max_pdu_length
    out = pdata(context, command, command=True, last=True, max_pdu_length=limit)
    held: Buffer = b""
    begun = False
    try:
        async for run in runs:
            if held:  # of the run before: this one may be the last
                begun = True
                out += pdata(context, held, command=False, last=False, max_pdu_length=limit)
                association.writelines(out)
                out, held = [], b""
                await association.drained()
            for piece in run:
                if held:
                    out += pdata(context, held, command=False, last=False, max_pdu_length=limit)
                held = piece
    except VnaError as error:
        if begun:
            association.abort(why=f"the data set could not be read to its end: {error}")
        raise
    out += pdata(context, held, command=False, last=True, max_pdu_length=limit)
    association.writelines(out)
    await association.drained()
