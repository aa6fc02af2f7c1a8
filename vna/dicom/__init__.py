"""What a data set is. Pure: bytes and values in, values out, no files and no sockets.

Glossary
    attribute    an element that the index knows: `attributes.TABLE`
    computed     an attribute that no object carries; the archive works it out from what it holds
    path key     address of an attribute, see `vna.types`
    key          (of a query) an attribute to match, with a value; (secondary key) bytes under which
                 the index finds entities by an attribute's value
    predicate    the keys of a query at one level, compiled to a function of attributes
    plan         the access path for a query: UIDs, ranges of secondary keys, or everything
    prefix       preamble and file meta information in front of a data set (PS3.10 7.1)

Import the modules: attributes, json, keys, matching, names, part10, paths, scan, times, uids.
Only `scan` needs the native core.
"""
