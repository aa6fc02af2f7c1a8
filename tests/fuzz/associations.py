"""A-ASSOCIATE PDUs: what reads is answered with a PDU that reads; all else is a ProtocolError."""

from __future__ import annotations

from contextlib import suppress

from fuzzing import Target

from vna._native import ProtocolError
from vna.dimse.negotiation import Negotiated, negotiate
from vna.dimse.pdu import (
    Abort,
    AssociateReject,
    AssociateRequest,
    ProposedContext,
    UserInformation,
    decode_abort,
    decode_accept,
    decode_reject,
    decode_request,
    encode_accept,
    encode_request,
)
from vna.dimse.settings import DimseSettings

CT, FIND, VERIFICATION = (
    "1.2.840.10008.5.1.4.1.1.2",
    "1.2.840.10008.5.1.4.1.2.2.1",
    "1.2.840.10008.1.1",
)
SYNTAXES = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.4.70")


class Associations(Target):
    name = "associations"

    def seeds(self) -> list[bytes]:
        settings = DimseSettings()
        few = (ProposedContext(1, VERIFICATION, SYNTAXES[:1]), ProposedContext(3, CT, SYNTAXES))
        many = tuple(ProposedContext(n, CT, SYNTAXES[:2]) for n in range(1, 256, 2))
        rich = UserInformation(
            16384, window=(3, 2), roles={CT: (True, True)}, extended={FIND: b"\1\1\1"}
        )
        requests = [
            AssociateRequest("VNA", "FUZZ", few, UserInformation()),
            AssociateRequest("VNA", "FUZZ", (*few, ProposedContext(5, FIND, SYNTAXES)), rich),
            AssociateRequest("VNA", "FUZZ", many, UserInformation(0)),
        ]
        answers = [negotiate(request, settings) for request in requests]
        return [
            *map(encode_request, requests),
            *(encode_accept(each.accept) for each in answers if isinstance(each, Negotiated)),
            AssociateReject(1, 1, 7).encode(),
            Abort(2, 1).encode(),
        ]

    def check(self, data: bytes) -> None:
        decode_abort(data)
        for decode in (decode_accept, decode_reject):
            with suppress(ProtocolError):
                decode(data)
        try:
            request = decode_request(data)
        except ProtocolError:
            return
        for settings in (DimseSettings(), DimseSettings(check_called_ae=False)):
            answer = negotiate(request, settings)
            if isinstance(answer, AssociateReject):
                assert decode_reject(answer.encode()) == answer
                continue
            read = decode_accept(encode_accept(answer.accept))
            assert [each.id for each in read.contexts] == [each.id for each in request.contexts]
            assert read.accepted == answer.contexts.keys()
