//! The codec `lanes`: chunks of pixels, predicted from their neighbours and entropy coded, so that
//! 64 rows decode side by side. `docs/format/codecs.md` is the truth about the bytes.
//!
//! Decoding trusts nothing: whatever the bytes, it fills the buffer it was given or says why not,
//! and holds a constant amount of memory beside it.

mod decode;
mod encode;
mod header;
mod lanes;
mod model;
mod order;
mod predict;
mod rough;
mod sink;
mod table;
#[cfg(test)]
mod tests;
pub mod weave;

pub use decode::{decode, decode_on};
pub use encode::{Form, encode, encode_on};
pub use lanes::Machine;
pub use rough::roughness;

/// How the samples of a chunk lie: the values of the Image Pixel module (PS3.3 C.7.6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Columns: samples of one plane in a row.
    pub columns: u16,
    /// Bytes of a sample: Bits Allocated / 8.
    pub sample_bytes: u8,
    /// Samples that lie side by side for one pixel: 1 where planes are apart.
    pub pixel_samples: u8,
}

/// Why bytes are not a coded chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid(&'static str);

impl std::fmt::Display for Invalid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Invalid {}
