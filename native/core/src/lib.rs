//! What the archive does to bytes: reading data sets, DICOM JSON, P-DATA, hashes.
//!
//! Pure functions and state machines over slices: no I/O, no Python, no unsafe code. Every parser
//! here takes bytes from outside, so none panics, recurses or grows without a bound.
//!
//! The pixel codecs will stand beside these as `codec`, one file each, functions from the bytes of
//! a chunk to coded bytes and back; `vna/storage/codecs.py` has the registry that gives them ids.
#![forbid(unsafe_code)]

pub mod charset;
pub mod dictionary;
pub mod element;
pub mod frames;
pub mod hash;
pub mod json;
pub mod pdu;
pub mod scan;
