"""Logs, with labels only: a data set can never reach a log line by type."""
