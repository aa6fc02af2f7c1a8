"""C-FIND (PS3.4 C.4.1) over the archive's query."""

from __future__ import annotations

from vna.dicom import attributes
from vna.dicom.matching import compile_query
from vna.dimse.identifiers import AVAILABILITY, Answers, Identifier, read_identifier
from vna.dimse.levels import keys_above, level_of
from vna.dimse.negotiation import FindOptions
from vna.dimse.operation import Operation
from vna.dimse.statuses import Refused, Status
from vna.types import Key, Level, Query

__all__ = ["find"]


async def find(operation: Operation) -> None:
    """Answer each match with a pending response, then success; stop at once when cancelled."""
    options = operation.negotiated.find.get(operation.context.abstract_syntax, FindOptions())
    identifier = read_identifier(await operation.identifier(), operation.context.transfer_syntax)
    query = _query(operation, identifier, options)
    supported = (
        not identifier.deeper
        and all(_supported(path, query.level) for path in identifier.keys)
        and not compile_query(query).unsupported  # returned, but not matched by their values
    )
    answers = Answers(
        operation.context.transfer_syntax,
        identifier.level,
        operation.settings.ae_title,
        (query.returned or frozenset()) | identifier.keys.keys(),
        identifier.sequences,
    )
    status = Status.PENDING if supported else Status.PENDING_KEYS_UNSUPPORTED
    pending = operation.response(status)
    association = operation.association
    async for matches in operation.archive.answers(query):
        if operation.cancelled:
            break
        out = []
        for match in matches:
            out += operation.pdus(pending, answers.write(match.attributes))
        association.write(b"".join(out))
        await association.drained()
    operation.respond(Status.CANCELLED if operation.cancelled else Status.SUCCESS)


def _query(operation: Operation, identifier: Identifier, options: FindOptions) -> Query:
    """Return the query an identifier asks for. Raises Refused (PS3.4 C.4.1.3)."""
    level = level_of(identifier, operation.context.abstract_syntax)
    if not options.relational:
        _check_hierarchy(level, identifier, operation.context.abstract_syntax)
    returned = {path for path in identifier.keys if path in attributes.BY_PATH}
    for sequence in identifier.sequences:
        inside = {path for path in attributes.BY_PATH if path >> 32 == sequence}
        returned |= returned & inside or inside
    keys = tuple(
        Key(path, value)
        for path, value in identifier.keys.items()
        if value and _supported(path, level)
    )
    return Query(
        level=level,
        keys=keys,
        returned=frozenset(returned | {AVAILABILITY}),
        fuzzy=options.fuzzy,
        combine_datetime=options.combined_datetime,
    )


def _check_hierarchy(level: Level, identifier: Identifier, sop_class: str) -> None:
    """Raise Refused unless each level above is pinned by one unique key (PS3.4 C.4.1.3.1)."""
    for tag in keys_above(level, sop_class):
        value = identifier.keys.get(tag, "")
        if not value or any(mark in value for mark in "\\*?"):
            raise Refused(
                Status.DOES_NOT_MATCH, "a unique key above the query level is missing", (tag,)
            )


def _supported(path: int, level: Level) -> bool:
    """Return whether a key can be matched and returned at a query level."""
    known = attributes.BY_PATH.get(path)
    return known is not None and known.level <= level
