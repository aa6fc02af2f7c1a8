"""The DIMSE services, one file per verb: each serves one `Operation` from request to last response.

A service ends by its own final response, or by raising: `Refused` with the answer, or an error of
the archive, which `statuses.failure` maps.
"""
