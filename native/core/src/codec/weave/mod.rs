//! The codec `weave`: chunks of 16-bit samples, a row at a time, its even columns and then its odd
//! ones, so that 64 samples that lie side by side are decoded at once.
//! `docs/format/weave.md` is the truth about the bytes.
//!
//! Decoding trusts nothing: whatever the bytes, it fills the buffer it was given or says why not,
//! and holds memory for a few rows beside it.

mod decode;
mod encode;
mod header;
mod model;
mod table;
#[cfg(test)]
mod tests;

pub use decode::{decode, decode_on};
pub use encode::{encode, encode_on};
pub(super) use table::{BASES, END, ESCAPE, MORE, PLACE_BITS, SYMBOLS};

/// Bytes of a sample.
const SAMPLE: usize = 2;
