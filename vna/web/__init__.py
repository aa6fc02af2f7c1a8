"""The HTTP front: DICOMweb (PS3.18), health, and a page that says what is here.

Glossary
    resource     what a URL names: a study, a series, an instance, frames, a bulk value, metadata
    media range  one alternative of an Accept header, with its parameters and quality
    offer        a form in which the archive can give a resource now, without transcoding
    part         one body of a multipart/related message (PS3.18 8.6.1.2)
    problem      the JSON body of an error answer (RFC 9457)
    pieces       an iterator of byte runs that blocks; answers pull it in threads

Every verb is a file of `routes`; what it asks of the archive goes through `archive.Archive`, so
that STOW-RS stores like C-STORE and QIDO-RS finds what C-FIND finds.
"""

from vna.web.app import make_app, make_runner, requests_under_way
from vna.web.settings import WebSettings
from vna.web.site import SharedSite

__all__ = ["SharedSite", "WebSettings", "make_app", "make_runner", "requests_under_way"]
