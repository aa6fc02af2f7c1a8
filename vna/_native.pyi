"""The Rust core (native/). Every call that may take long releases the GIL."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias, TypeVar

from vna.types import Frames, Hole

Buffer: TypeAlias = bytes | bytearray | memoryview
_T = TypeVar("_T")

SOURCE_DIGEST: Final[str]
"""Digest of the native sources this extension was built from; see vna/_build.py."""

class ProtocolError(ValueError):
    """A peer broke the DICOM upper layer protocol (PS3.8); the message says how."""

# append -----------------------------------------------------------------------------------------
class Appender:
    """A thread that writes the end of one file, and syncs it. It ends with this object.

    `fd` is the file; `direct` the same file opened with O_DIRECT, or `fd` again. Both stay open
    until `wait` has returned. The first parts are written at `offset`. What is written directly to
    this `pack` stays in `fresh` for a while. After an error it takes nothing more.
    """
    def __init__(
        self, fd: int, direct: int, offset: int, fresh: Fresh | None = None, pack: int = 0
    ) -> None: ...
    def write(self, parts: Sequence[Buffer]) -> None:
        """Begin to write parts where the last ones ended; `wait` is for `sync`.

        They stay as they are until a `wait` or `settle` has returned. Behind what is written directly
        the last block of 4096 bytes is filled with zeros, which the next parts replace. Who changes
        the file otherwise takes another appender.
        """
    def sync(self, parts: Sequence[Buffer]) -> None:
        """Begin to write parts as `write` does, then to sync the file with fdatasync(2)."""
    def wait(self) -> bool:
        """Return when the sync that was begun has ended: whether the file still takes direct writes.

        OSError if it or a write before it failed: then neither what was written is known, nor what
        is durable.
        """
    def settle(self) -> bool:
        """Return when all writes have ended, synced or not; as `wait`. No sync may be under way."""

def keep_room(fd: int, offset: int, length: int) -> None:
    """Have space kept for bytes of a file, of which the file's size shows nothing.

    OSError if there is none. Nothing where a file system cannot.
    """

# charset ----------------------------------------------------------------------------------------
def decode_text(raw: Buffer, vr: str, character_set: Buffer) -> str:
    """Return a whole value as text, in the Specific Character Set of this value (0008,0005).

    Of a VR that this does not apply to it is in the default repertoire. What cannot be decoded
    becomes U+FFFD.
    """

# codec ------------------------------------------------------------------------------------------
def lanes_encode(
    raw: Buffer, columns: int, sample_bytes: int, pixel_samples: int, strong: bool
) -> bytes | None:
    """Return a chunk of pixels of this geometry coded (docs/format/codecs.md); None where it is no
    such image, or does not shrink."""

def lanes_decode(stored: Buffer, length: int) -> bytes | memoryview:
    """Return the `length` bytes that were coded as `stored`, as `bytes` or a view that can only be
    read. ValueError if it is not that."""

def roughness(raw: Buffer, columns: int) -> float:
    """Return the bits of what a 16-bit sample differs by from its neighbours to the left and above, on
    average over some rows of `columns`: 0 to 17."""

def weave_encode(raw: Buffer, columns: int) -> bytes | None:
    """Return a chunk of 16-bit samples in rows of `columns` coded (docs/format/weave.md); None where
    it is no such image, or does not shrink."""

def weave_decode(stored: Buffer, length: int) -> bytes | memoryview:
    """Return the `length` bytes that were coded as `stored`, as `bytes` or a view that can only be
    read. ValueError if it is not that."""

# file -------------------------------------------------------------------------------------------
def acknowledge_now(descriptor: int) -> None:
    """Have the kernel acknowledge at once what arrived on a TCP socket (TCP_QUICKACK).

    It falls back to delayed acknowledgements by itself. Nothing where there is no such option. The
    descriptor stays its owner's.
    """

def answer_now(descriptor: int, data: bytes) -> int:
    """Send on a TCP socket what goes without waiting, then `acknowledge_now`; return how many bytes.

    0 where nothing can be sent, for whatever reason: whoever owns the descriptor will find it out.
    """

class CachedFile:
    """An open file, and the memory before it. The descriptor stays its owner's.

    Of a pack that workers append to, `fresh` may have what was appended last. Else it is asked
    only for what is synced, and with that all before it.
    """
    def __init__(self, descriptor: int, fresh: Fresh | None = None, pack: int = 0) -> None: ...
    def present(self, offset: int, length: int) -> bytes | memoryview | None:
        """Return `length` bytes from `offset` on if they are all in memory, else None.

        Never waits for a disk. None also where the file ends before, where its file system cannot
        tell, and for more than 16 MiB. Raises OSError.

        What returns may be a view of the page cache itself, where it has 64 KiB or more and lies
        some megabytes before something that was asked for. It is in memory now: look at it at once.
        Later that may wait for the disk, and kills the process if the disk fails, which a write(2)
        of it only reports. A view of `fresh` stays as it is; let it go soon.
        """

    def read(self, offset: int, length: int) -> memoryview | None:
        """Return `length` bytes from `offset` on, from the page cache or the disk; may wait for it.

        The first time that it must be the disk nothing comes into the page cache, the second time
        it does. None where the file ends before, for less than 64 KiB, and for more than 16 MiB.
        Raises OSError.
        """

class Fresh:
    """What was appended last to packs, in memory that the workers of an archive share."""
    def __init__(self, descriptor: int, worker: int) -> None:
        """Map the memory of a descriptor, which stays open and its owner's. Workers count from 0.

        What a process with the same number has left, that has ended, is settled. Raises OSError.
        """

    def populate(self) -> bool:
        """Have memory for a next part of what this worker fills; return whether there is more.

        The first round need not find it then. In a thread: 20 ms, or 160 where a host finds the memory first.
        """

    @staticmethod
    def create(length: int, workers: int, tray_length: int) -> int:
        """Make memory for `length` bytes, in parts of whole pages; return its descriptor.

        Raises OSError, and ValueError for parts of another length.
        """

def populate(address: int, length: int) -> int:
    """Fill the page tables for what memory has of the files mapped at `address`; return its bytes.

    The first look there is no fault then. Reads nothing from a disk, but a page that goes at this
    moment. 0 where the kernel has no such call (Linux before 5.14), and for what is not mapped.
    """

def hold(address: int, length: int) -> None:
    """Read what is mapped at `address` into memory, and keep it there until it is unmapped (mlock).

    Raises OSError where that is not granted, or nothing is mapped.
    """

# fold -------------------------------------------------------------------------------------------
def fold_new(
    group: bytes,
) -> (
    tuple[
        dict[str, list[tuple[bytes, bytes]]],
        list[tuple[bytes, bytes]],
        list[bytes],
        list[tuple[int, bytes, bytes | None, bytes]],
    ]
    | None
):
    """Return what becomes of the index by new instances; None where that needs who knows it all.

    `group` is MessagePack: an array of stores, each with an array of the blobs that it brought
    `(digest, place)`; an array of what the index has of all that they touch, as values: state,
    patients, studies, series, blobs `(digest, value)`, packs `(id, value)`; an array of marks
    `(pack, end)`. Returned are the entries to put by table, in order; keys of new patients with
    their rows; the rows of the instances; and of patients, studies and series that say something
    new level, row, attributes before (None: there were none) and now.
    """

# hash -------------------------------------------------------------------------------------------
def blake3(data: Buffer) -> bytes:
    """Return the 32-byte BLAKE3 digest of `data`."""

class Blake3:
    """An incremental BLAKE3."""
    def __init__(self) -> None: ...
    def update(self, data: Buffer) -> None: ...
    def digest(self) -> bytes: ...

def crc32c(data: Buffer, seed: int = 0) -> int:
    """Return the CRC-32C (Castagnoli) of `data`, continuing from `seed`."""

# scan -------------------------------------------------------------------------------------------
class Interest:
    """The attributes that scans look for, made once for any number of objects.

    `paths` are path keys: `tag`, or `sequence_tag << 32 | tag` for elements in items of a top-level
    sequence.
    """
    def __init__(self, paths: Sequence[int]) -> None: ...

class Filing:
    """What objects are filed by.

    `uids` are the path keys of SOP class, SOP instance, study and series; `levels` the level of each
    attribute that is kept, 0 (patient) to 3 (instance): of it `max_values` values, of a text
    `max_text` characters. `hole` and `frames` are called with the fields of each.
    """
    def __init__(
        self,
        uids: Sequence[int],
        levels: Mapping[int, int],
        *,
        max_text: int,
        max_values: int,
        hole: Callable[[int, int, bytes, tuple[int, ...], str], Hole],
        frames: Callable[[int, int, int, int, bytes, None], Frames],
    ) -> None: ...

def is_uid(text: str) -> bool:
    """Return whether `text` can identify something here, however it breaks PS3.5 9.1.

    That is 1 to 64 ASCII characters, none of them a space, control character, slash or backslash.
    """

class Splitter:
    """One pass over an object as it arrives, in pieces of any size.

    Parts an object into a header and bulk values, finds the indexed attributes and the frame
    table, and hashes what passes. Holds the header in memory, never the bulk.

    `form`: "dataset" (bare data set in `transfer_syntax`) or "part10" (preamble, DICM and file meta
    information first; also takes files without a preamble, or without file meta information, for
    which it guesses the transfer syntax as other readers do).
    """
    def __init__(
        self,
        form: str,
        transfer_syntax: str | None,
        interest: Interest,
        *,
        bulk_threshold: int = 4096,
        max_header: int = ...,
    ) -> None: ...
    def feed(self, data: Buffer) -> list[tuple[int, int, int]]:
        """Take the next piece. Return `(hole, start, end)` for each run of `data` that is bulk:
        `data[start:end]` is the next part of hole number `hole` (0, 1, ...)."""
    def hole_plan(self, hole: int) -> tuple[int, int]:
        """Return `(chunk length, declared length)` of a hole that has begun: the length in which
        the value is best chunked (one native frame, or 65536 where data is compressed already)
        and its declared length (-1 when undefined)."""
    def finish(self) -> Scan:
        """Say that the object ends here and return what was found. Never raises for bad data."""

class Scan:
    """What a pass over an object found."""
    @property
    def problem(self) -> str:
        """Empty, or where and why reading the data set stopped ("at byte 1234, in (0028,0010): ...")."""
    @property
    def fatal(self) -> bool:
        """True when not even the container could be read (not DICOM, header over its cap)."""
    @property
    def transfer_syntax(self) -> str: ...
    @property
    def prefix(self) -> int:
        """Bytes of preamble and file meta information at the front of `header`."""
    @property
    def length(self) -> int:
        """Bytes of the data set, without the prefix."""
    @property
    def header(self) -> bytes: ...
    @property
    def holes(self) -> list[tuple[int, int, bytes, tuple[int, ...], str]]:
        """`(offset in header, length, BLAKE3 digest, path, VR)` for each hole."""
    @property
    def deflated(self) -> bool:
        """True for a deflated transfer syntax: hole 0 is the data set as received, `header` is the
        prefix alone, `values` come from the inflated data set, `frames` is None. (Where the group
        length of file meta information is missing or wrong, the first bytes of the data set stand
        in `header` after the prefix: inflate all that the object is, not the hole.)"""
    @property
    def frames(self) -> tuple[int, int, int, int, bytes] | None:
        """`(kind, hole, count, frame_bits, offsets)`: kind 1 native, 2 encapsulated; `offsets` is
        `count + 1` little-endian u64 for encapsulated, empty for native. None without pixel data
        or where its frames cannot be told apart (then `problem` stays as it is)."""
    @property
    def digest(self) -> bytes:
        """BLAKE3 over the data set's header bytes and its holes' places and digests: equal for
        equal data sets."""
    @property
    def values(self) -> dict[int, list[str | int | float]]:
        """The attributes of interest that were present, by path key, decoded (all character
        sets), padding stripped, multiple values split. Items of a sequence are run together, with
        an empty value where one lacks what another has."""
    def pick(self, paths: Sequence[int]) -> dict[int, list[str | int | float]]:
        """Return those of `values` that are named, where they were present."""
    def filed(
        self, filing: Filing
    ) -> tuple[
        str,
        str,
        str,
        str,
        dict[int, list[str | int | float]],
        dict[int, list[str | int | float]],
        dict[int, list[str | int | float]],
        dict[int, list[str | int | float]],
        str,
        int,
        bytes,
        bytes,
        int,
        list[Hole],
        Frames | None,
        bool,
        str,
        dict[int, str],
    ]:
        """Return all that an object is filed under, in one call.

        The four UIDs without padding, empty where missing or no `is_uid`; `values` by level, cut to
        what is kept, those of no level left out; transfer syntax, length, digest, header, prefix,
        holes, frames, deflated, problem, meta.
        """
    @property
    def meta(self) -> dict[int, str]:
        """File meta information elements with text values, by tag."""

def inflate(data: Buffer, limit: int) -> bytes:
    """Inflate a deflated data set (PS3.5 A.5). ValueError when broken or over `limit` bytes."""

# json -------------------------------------------------------------------------------------------
def dataset_json(
    header: Buffer,
    start: int,
    transfer_syntax: str,
    holes: Sequence[tuple[int, int]],
    bulk_uri: str,
) -> bytes:
    """Return the DICOM JSON model (PS3.18 F.2) of a header as UTF-8 bytes, one object.

    The data set begins at `start`; `holes` are `(offset, length)` in `header`, ascending. A hole
    becomes `BulkDataURI` of `bulk_uri + "/" + path`, path as "7FE00010" or "54000100/0/54001010".
    Other binary values are InlineBinary. Reading stops where the header is broken.
    """

def attributes_json(attributes: dict[int, list[str | int | float]]) -> bytes:
    """Return the DICOM JSON model of attributes by path key as UTF-8 bytes, one object ordered by tag.

    An empty text is null, and no null stands last; a tag that the dictionary does not have is UN.
    The items of a sequence come apart where all its attributes have the same number of values.
    """

# landing ----------------------------------------------------------------------------------------
class Landing:
    """Where up to 640 KiB are received at once, for any number of associations by turns."""
    def __init__(self) -> None: ...
    def room(self) -> memoryview:
        """Return where to receive; what was received before is lost unless it was handed on."""
    def receive(self, descriptor: int) -> int | None:
        """Receive there from a socket; return how much, 0 at the end, None where nothing has come.

        Holds the GIL. Raises OSError.
        """

# command ----------------------------------------------------------------------------------------
class CommandSet:
    """Command sets (PS3.7 E) from and to objects that have an attribute for each known element."""
    def __init__(self, elements: Sequence[tuple[int, str, str]]) -> None:
        """`(element of group 0000, attribute, VR)`, ascending; VRs are US, AT, UI, AE and LO."""
    def values(self, data: Buffer) -> dict[str, Any]:
        """Read a command set; elements that are not known are passed over. Raises ProtocolError.

        Text is without padding, tags are a tuple; a US that is not one number is None.
        """
    def encode(self, command: object) -> bytes:
        """Return the command set of `command`, group length first; empty values are left out."""

# multipart --------------------------------------------------------------------------------------
class Multipart:
    """Takes a multipart message apart (RFC 2046 5.1) that comes in pieces of any size. Sans-I/O.

    Holds no more than a part's headers, and the bytes at the end of a piece that may begin a
    boundary. Content is not copied but for those.
    """
    def __init__(self, boundary: bytes) -> None: ...
    def feed(self, data: Buffer) -> list[dict[str, str] | Buffer | None]:
        """Take the next piece; return what it completes: a part's headers where it begins, runs of
        its content, None where it ends.

        Header names are lower case; of a repeated header the last one holds. ValueError where the
        pieces before were malformed: what came before the fault has been returned.
        """
    def close(self) -> None:
        """Say that the message ends here. ValueError where it is malformed or not whole."""
    @property
    def kept(self) -> int:
        """Bytes that are held."""

# outlet -----------------------------------------------------------------------------------------
def send_now(descriptor: int, pieces: Sequence[Buffer]) -> int:
    """Send pieces on a socket that does not block, one after the other; return how many bytes went.

    Long views that `CachedFile.present` returned leave without being copied (sendfile(2)). OSError if
    nothing goes, ever; the descriptor stays its owner's.
    """

# pdu --------------------------------------------------------------------------------------------
class Deframer:
    """P-DATA-TF reassembly (PS3.8 9.3.5). Sans-I/O.

    Takes every byte it is given and keeps back no more than a header, so that PDUs of any length
    flow through a receive buffer of any size, which several deframers may share.
    """
    def __init__(self, max_pdu_length: int) -> None:
        """PDUs longer than `max_pdu_length` (0: 16 MiB; others than P-DATA: 1 MiB) are refused."""
    def received(self, landing: Landing, length: int) -> list[tuple[int, int, Buffer]]:
        """Take `length` bytes that a peer sent, received into `landing`; return events.

        `(0, pdu_type, bytes)`    a whole PDU other than P-DATA-TF, its 6-byte header included
        `(1, context_id, bytes)`  a whole command set
        `(2, context_id, data)`   a part of a data set, `bytes` or a memoryview
        `(3, context_id, data)`   the last part of a data set

        Adjacent parts are merged: there is one event for what belongs to one data set. Parts of data
        sets are copied; where they are 320 KiB or more they are packed where they are and handed on,
        and `landing` has room elsewhere from then on. Raises
        ProtocolError, then and on every call after it; what the same call completed before the
        breach is lost.
        """

def pdata(
    context_id: int, data: Buffer, command: bool, last: bool, max_pdu_length: int
) -> list[Buffer]:
    """Return the P-DATA-TF PDUs that carry a command set or (part of) a data set: headers and
    slices of `data` by turns, for `writelines`; `data` is not copied.

    `max_pdu_length` is what the peer takes (PS3.8 D.1: without the PDU header), 0 for any.
    `last` marks the end of the command or data set. ValueError where no PDU could hold a byte.
    """

def message(
    context_id: int, command: bytes, pieces: Sequence[Buffer] | None, max_pdu_length: int
) -> list[Buffer]:
    """Return the P-DATA-TF PDUs that carry a whole message, for `writelines`: a command set, and a
    data set in pieces if it has one. PDUs are filled across pieces; long ones are not copied.

    `max_pdu_length` and errors are those of `pdata`.
    """

# record -----------------------------------------------------------------------------------------
def record_header(
    fields: tuple[int, int, int, int, int, int, int, int, bytes],
    pack: int,
    offset: int,
    synced: int,
) -> bytes:
    """Return a record header (docs/format/pack.md) for a record at `offset` of `pack`.

    `fields` are version, kind, flags, size, stored, length, stride, chunks, digest.
    """

class EncodedBlob:
    """A record but for its place: its header is made when it is appended, `parts` follow that.

    `fields` as for `record_header`. Parts are not copied and must stay as they are.
    """
    def __init__(
        self,
        fields: tuple[int, int, int, int, int, int, int, int, bytes],
        parts: Sequence[Buffer],
    ) -> None: ...
    @staticmethod
    def raw(kind: int, digest: bytes, parts: Sequence[Buffer], stride: int) -> EncodedBlob:
        """Return the record of a blob that is `parts` run together: one chunk, stored as it is.

        ValueError unless they have 1 to `stride` bytes.
        """
    @property
    def digest(self) -> bytes:
        """The BLAKE3 of the blob."""
    @property
    def length(self) -> int:
        """Bytes of the blob."""
    @property
    def size(self) -> int:
        """Bytes of the whole record."""
    def placed(self, pack: int, offset: int, synced: int) -> list[Buffer]:
        """Return the bytes of the record for its place, short parts run together."""

def place_records(
    records: Sequence[EncodedBlob],
    pack: int,
    offset: int,
    synced: int,
    place: Callable[[int, int, int, int], _T],
) -> tuple[list[Buffer], list[_T], int]:
    """Return the bytes of records one after the other from `offset` of `pack` on, of which `synced`
    bytes are durable; what `place` makes of where each one is: pack, offset, size, length; and where
    they end.
    """

def chunk_entry(end: int, codec: int, stored: Sequence[Buffer]) -> bytes:
    """Return the table entry of a chunk that is stored as `stored` and ends at `end`."""

class RawChunks:
    """Where a blob of few chunks is that is stored as it is: in a row, from `offset` of the pack on.

    Each of `sums` is what the CRC-32C of a chunk of `stride` bytes begins with, and what it then is.
    """
    def __init__(
        self, offset: int, stride: int, length: int, sums: Sequence[tuple[int, int]]
    ) -> None: ...
    def read(
        self,
        read: Callable[[int, int], bytes | memoryview | None],
        start: int,
        stop: int,
        most: int,
    ) -> bytes | memoryview | None:
        """Return bytes `[start, stop)` of the blob, uncopied, when the chunks around them are as they were written.

        `read` gives bytes of the pack, by offset and length. None where it gives none, and where
        more than `most` would have to be read. ValueError names the first chunk that is damaged.
        Of fresh memory a chunk is checked once, for all workers; of anything else each time.
        """

def raw_blob(record: Buffer, pack: int, offset: int) -> bytes | None:
    """Return the blob of a whole record of a pack (docs/format/pack.md), a small one, checked.

    None unless it is one chunk, stored raw, and sound in all but its padding: then look closer.
    """
