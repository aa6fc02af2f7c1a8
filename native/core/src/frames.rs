//! Frames (empty for the moment)
