//! Thirty-two pixels at a time: what the decoder needs of a machine, and the machines it knows.
//!
//! A [`Lanes`] value is the proof that its instructions run here, so its methods are safe to call.
//! All forms give the same bytes; `scalar` says in plain code what each operation does.

#![allow(unsafe_code)]

mod kernel;
mod scalar;
mod transpose;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(super) use kernel::{Cell, Job};
pub(super) use transpose::{store_run, transpose};

use super::order::Order;

/// Rows that are decoded side by side; part of the format.
pub(super) const LANES: usize = 32;

/// Entries of a [`Slots`]: 16 tables of 4096.
pub(super) const SLOTS: usize = 16 << 12;

/// Decoding tables: every index that is masked with `SLOTS - 1` is in bounds.
pub(super) type Slots = [u32; SLOTS];

/// Operations on a vector of 32 lanes of 32 bits.
trait Lanes: Copy {
    type Vector: Copy;
    type Mask: Copy;

    fn load(self, lanes: &[i32; LANES]) -> Self::Vector;
    fn store(self, vector: Self::Vector) -> [i32; LANES];
    fn splat(self, value: i32) -> Self::Vector;
    /// The low 16 bits of each lane.
    fn narrow(self, vector: Self::Vector, to: &mut [u16; LANES]);

    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn mul(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn min(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn max(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn and(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn xor(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// Shifts take the count of each lane, 0 to 31.
    fn shl(self, a: Self::Vector, by: Self::Vector) -> Self::Vector;
    fn shr(self, a: Self::Vector, by: Self::Vector) -> Self::Vector;
    fn sar(self, a: Self::Vector, by: Self::Vector) -> Self::Vector;
    /// The bits of each lane as IEEE 754 single precision, rounded to nearest even.
    fn float_bits(self, a: Self::Vector) -> Self::Vector;

    fn equal(self, a: Self::Vector, b: Self::Vector) -> Self::Mask;
    /// Signed `a < b`.
    fn less(self, a: Self::Vector, b: Self::Vector) -> Self::Mask;
    fn both(self, a: Self::Mask, b: Self::Mask) -> Self::Mask;
    fn any(self, a: Self::Mask) -> bool;
    fn select(self, mask: Self::Mask, yes: Self::Vector, no: Self::Vector) -> Self::Vector;

    /// Lane `k` becomes lane `k - 1`; lane 0 becomes `first`.
    fn shift_in(self, vector: Self::Vector, first: i32) -> Self::Vector;
    /// Lane 31.
    fn top(self, vector: Self::Vector) -> i32;
    /// `table[index & 31]`.
    fn lookup(self, table: &[i32; 32], index: Self::Vector) -> Self::Vector;
    /// `slots[index & (SLOTS - 1)]`.
    fn gather(self, slots: &Slots, index: Self::Vector) -> Self::Vector;
    /// Each lane of `mask`, in order, becomes `lane << 16 | the next word`.
    fn refill(self, states: Self::Vector, mask: Self::Mask, words: &mut Words) -> Self::Vector;
}

/// The words of a stream, little-endian; zeros follow its end.
pub(super) struct Words<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Words<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Whether exactly all words were taken.
    pub(super) fn ended(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// The next words; `spare` is what they are in where the stream ends before them.
    #[inline(always)]
    fn peek<'s, const BYTES: usize>(&'s self, spare: &'s mut [u8; BYTES]) -> &'s [u8; BYTES] {
        match self.bytes.get(self.at..).and_then(<[u8]>::first_chunk) {
            Some(words) => words,
            None => self.peek_end(spare),
        }
    }

    #[cold]
    #[inline(never)]
    fn peek_end<'s, const BYTES: usize>(&self, spare: &'s mut [u8; BYTES]) -> &'s [u8; BYTES] {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        spare[..rest.len()].copy_from_slice(rest);
        spare
    }

    #[inline(always)]
    fn take(&mut self, words: u32) {
        self.at += 2 * words as usize;
    }
}

/// What lanes are made of. A value proves that it runs here.
#[derive(Clone, Copy)]
pub struct Machine(Kind);

#[derive(Clone, Copy)]
enum Kind {
    Plain(scalar::Scalar),
    #[cfg(target_arch = "x86_64")]
    Avx2(x86::Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(x86::Avx512),
}

impl Machine {
    /// All that run here, the best first.
    pub fn here() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let found = [
            x86::Avx512::detect().map(Kind::Avx512),
            x86::Avx2::detect().map(Kind::Avx2),
        ];
        #[cfg(not(target_arch = "x86_64"))]
        let found = [];
        let plain = Kind::Plain(scalar::Scalar);
        found.into_iter().flatten().chain([plain]).map(Self)
    }

    /// Decode the samples of a plane.
    pub(super) fn decode(self, job: &mut Job, order: &Order) -> bool {
        match self.0 {
            Kind::Plain(lanes) => kernel::decode(lanes, job, order),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the value proves that the instructions are there.
            Kind::Avx2(lanes) => unsafe { x86::decode_avx2(lanes, job, order) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the value proves that the instructions are there.
            Kind::Avx512(lanes) => unsafe { x86::decode_avx512(lanes, job, order) },
        }
    }
}
