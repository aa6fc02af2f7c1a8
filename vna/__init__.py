"""A vendor neutral archive: DIMSE and DICOMweb over content-addressed packs and an LMDB index.

Rooms, top to bottom; imports go down only (docs/architecture.md):
    cli, app, config | dimse, web | archive | dicom, storage, index | types, errors, clock, observe
"""

from vna import _build

__version__ = "0.1.0"

_build.check()
