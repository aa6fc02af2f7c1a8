//! Scan (empty for the moment)
