//! What the archive does to bytes: reading data sets, DICOM JSON, P-DATA, multipart messages,
//! hashes.
//!
//! Pure functions and state machines over slices: no I/O, no Python, and unsafe code
//! in the SIMD of `codec` alone. Every parser
//! here takes bytes from outside, so none panics, recurses or grows without a bound.
#![deny(unsafe_code)]

pub mod charset;
pub mod codec;
pub mod command;
pub mod dictionary;
pub mod element;
pub mod fold;
pub mod frames;
pub mod hash;
pub mod json;
pub mod msgpack;
pub mod multipart;
pub mod pdu;
pub mod record;
pub mod scan;
