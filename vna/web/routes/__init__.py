"""One file per verb; each takes the request apart, asks the archive once, and answers."""
