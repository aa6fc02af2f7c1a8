//! Sixty-four pixels at a time: what the decoder needs of a machine, and the machines it knows.
//!
//! A [`Lanes`] value is the proof that its instructions run here, so its methods are safe to call.
//! All forms give the same bytes; `scalar` says in plain code what each operation does.

#![allow(unsafe_code)]

mod coder;
mod entropy;
mod kernel;
mod scalar;
mod transpose;
mod woven;
mod woven_coder;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(super) use coder::{Codes, Draft, Output};
pub(super) use entropy::{Escapes, Looks};
pub(super) use kernel::{Cell, Job};
pub(super) use transpose::{load_tile, pack_run, store_run, store_tile};
pub(super) use woven::{FIRST_MISS, Woven, WovenJob};
pub(super) use woven_coder::WovenDraft;

use super::order::{BLOCK, Order};

/// Lanes of a band; part of the format.
pub(super) const BAND: usize = 32;

/// Rows that are decoded side by side, in two bands; part of the format.
pub(super) const LANES: usize = 2 * BAND;

/// Entries of a [`Slots`]: 16 tables of 4096.
pub(super) const SLOTS: usize = 16 << 12;

/// Decoding tables: every index that is masked with `SLOTS - 1` is in bounds.
pub(super) type Slots = [u32; SLOTS];

/// The lane that takes the `at`-th word of a step in which all do; part of the format. Of each band
/// first the lanes whose third bit is clear, then the others: vectors of 16 bits become ones of 32
/// that way without leaving their place in a register.
pub(super) const fn lane_of(at: usize) -> usize {
    (at & 32) | (at & 12) << 1 | (at & 16) >> 2 | (at & 3)
}

/// Operations on vectors of 64 lanes: of 16 bits (narrow) in the order of lanes, of 32 bits (wide)
/// in the order of words.
trait Lanes: Copy {
    type Narrow: Copy;
    type Wide: Copy;
    /// Which lanes, for narrow vectors.
    type Mask: Copy;
    /// Which lanes, for wide vectors.
    type WideMask: Copy;

    fn splat(self, value: u16) -> Self::Narrow;
    fn load(self, lanes: &[u16; LANES]) -> Self::Narrow;
    fn store(self, vector: Self::Narrow, to: &mut [u16; LANES]);
    fn add(self, a: Self::Narrow, b: Self::Narrow) -> Self::Narrow;
    fn sub(self, a: Self::Narrow, b: Self::Narrow) -> Self::Narrow;
    /// The sum of unsigned numbers, 65535 where it is more.
    fn add_most(self, a: Self::Narrow, b: Self::Narrow) -> Self::Narrow;
    /// `(a + b + 1) / 2` of unsigned numbers.
    fn average(self, a: Self::Narrow, b: Self::Narrow) -> Self::Narrow;
    /// The lesser of signed numbers.
    fn min(self, a: Self::Narrow, b: Self::Narrow) -> Self::Narrow;
    /// The greater of signed numbers.
    fn max(self, a: Self::Narrow, b: Self::Narrow) -> Self::Narrow;
    fn and(self, a: Self::Narrow, b: Self::Narrow) -> Self::Narrow;
    fn xor(self, a: Self::Narrow, b: Self::Narrow) -> Self::Narrow;
    /// Half of unsigned numbers.
    fn half(self, a: Self::Narrow) -> Self::Narrow;
    /// `a` times the lower half of `weights` and `b` times the upper one for three pairs, signed;
    /// all six and 32, shifted right by 6, kept within 16 bits.
    fn linear(self, pairs: [(Self::Narrow, Self::Narrow); 3], weights: [i32; 3]) -> Self::Narrow;
    /// A bit for each lane: whether `a` is greater, signed.
    fn above(self, a: Self::Narrow, than: i16) -> u64;
    /// Set a lane.
    fn put(self, vector: Self::Narrow, lane: usize, value: u16) -> Self::Narrow;
    /// The lanes of the bits of each band.
    fn mask(self, bits: [u32; 2]) -> Self::Mask;
    fn select(self, mask: Self::Mask, yes: Self::Narrow, no: Self::Narrow) -> Self::Narrow;
    /// In each band lane `k` becomes lane `k - 1`, and lane 0 becomes `first`.
    fn shift_in(self, vector: Self::Narrow, first: [u16; 2]) -> Self::Narrow;
    /// Lane 0 of each band.
    fn bottoms(self, vector: Self::Narrow) -> [u16; 2];
    /// Lane 31 of each band.
    fn tops(self, vector: Self::Narrow) -> [u16; 2];

    /// Write the samples of two vectors in turn, each xor `flip`, as little-endian words.
    fn weave(self, even: Self::Narrow, odd: Self::Narrow, flip: u16, to: &mut [u8; 4 * LANES]);

    /// Narrow to wide, unsigned.
    fn widen(self, vector: Self::Narrow) -> Self::Wide;
    /// Wide to narrow; each lane is below 65536.
    fn narrow(self, vector: Self::Wide) -> Self::Narrow;
    fn load_wide(self, lanes: &[u32; LANES]) -> Self::Wide;
    fn store_wide(self, vector: Self::Wide) -> [u32; LANES];
    fn splat_wide(self, value: u32) -> Self::Wide;
    fn add_wide(self, a: Self::Wide, b: Self::Wide) -> Self::Wide;
    fn sub_wide(self, a: Self::Wide, b: Self::Wide) -> Self::Wide;
    fn mul_wide(self, a: Self::Wide, b: Self::Wide) -> Self::Wide;
    fn and_wide(self, a: Self::Wide, b: Self::Wide) -> Self::Wide;
    /// Shifts take the count of each lane, 0 to 31.
    fn shl_wide(self, a: Self::Wide, by: Self::Wide) -> Self::Wide;
    fn shr_wide(self, a: Self::Wide, by: Self::Wide) -> Self::Wide;
    /// Numbers below 65536 as the bits of IEEE 754 single precision.
    fn float_bits(self, a: Self::Wide) -> Self::Wide;
    /// The lanes of the bits of each band.
    fn wide_mask(self, bits: [u32; 2]) -> Self::WideMask;
    /// `a < b`; both are below 2^31, or `b` is 65536.
    fn less_wide(self, a: Self::Wide, b: Self::Wide) -> Self::WideMask;
    fn both_wide(self, a: Self::WideMask, b: Self::WideMask) -> Self::WideMask;
    fn select_wide(self, mask: Self::WideMask, yes: Self::Wide, no: Self::Wide) -> Self::Wide;
    /// `table[index & 31]`.
    fn lookup(self, table: &[u32; 32], index: Self::Wide) -> Self::Wide;
    /// What is at `index & 127`.
    #[inline(always)]
    fn look(self, looks: &Looks, index: Self::Wide) -> Self::Wide {
        self.gather(&looks.wide, index)
    }
    /// `table[index & (N - 1)]`; `N` is a power of two.
    fn gather<const N: usize>(self, table: &[u32; N], index: Self::Wide) -> Self::Wide;
    /// Quotient and rest, where the quotient is at least 1 and below 2^23; anything elsewhere.
    fn divide(self, a: Self::Wide, by: Self::Wide) -> (Self::Wide, Self::Wide);
    /// Each lane of `mask`, in the order of words, becomes `lane << 16 | the next word`.
    fn refill(self, states: Self::Wide, mask: Self::WideMask, words: &mut Window) -> Self::Wide;
    /// The reverse: the lower half of each lane of `mask`, the last one first, is written; the lane
    /// is shifted right by 16.
    fn give(self, states: Self::Wide, mask: Self::WideMask, output: &mut Output) -> Self::Wide;
}

/// Bytes of the words that a block of steps takes, at most.
const BLOCK_WORDS: usize = 2 * LANES * BLOCK;

/// The words of a stream, little-endian; zeros follow its end.
pub(super) struct Words<'a> {
    bytes: &'a [u8],
    at: usize,
    last: [u8; BLOCK_WORDS],
}

impl<'a> Words<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            last: [0; BLOCK_WORDS],
        }
    }

    /// Whether exactly all words were taken.
    fn ended(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// The words for a block of steps, so that no step has to look for the end.
    #[inline(always)]
    fn block(&mut self) -> Window<'_> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let bytes = rest.first_chunk().unwrap_or_else(|| {
            self.last.fill(0);
            self.last[..rest.len()].copy_from_slice(rest);
            &self.last
        });
        Window { bytes, at: 0 }
    }

    /// Go on behind what a block took.
    #[inline(always)]
    fn take(&mut self, bytes: usize) {
        self.at += bytes;
    }
}

/// The words for a block of steps.
struct Window<'a> {
    bytes: &'a [u8; BLOCK_WORDS],
    at: usize,
}

impl Window<'_> {
    /// The words for a step, which takes some of them.
    #[inline(always)]
    fn peek(&self) -> &[u8; 2 * LANES] {
        self.bytes[self.at..]
            .first_chunk()
            .expect("a step takes no more words than it has lanes")
    }

    #[inline(always)]
    fn take(&mut self, words: u32) {
        self.at += 2 * words as usize;
    }
}

/// Bits of symbols, the lowest of each byte first; zeros follow their end.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Whether all bytes were begun, and no more.
    pub(super) fn ended(&self) -> bool {
        self.at.div_ceil(8) == self.bytes.len()
    }

    /// The next bits, at most 24.
    #[inline(always)]
    fn take(&mut self, count: u32) -> u32 {
        let rest = self.bytes.get(self.at / 8..).unwrap_or_default();
        let held = match rest.first_chunk() {
            Some(&bytes) => u32::from_le_bytes(bytes),
            // No call, for which all registers of the loop around would have to be put by.
            None => {
                let byte = |at: usize| u32::from(rest.get(at).copied().unwrap_or_default());
                byte(0) | byte(1) << 8 | byte(2) << 16
            }
        };
        let bits = held >> (self.at % 8);
        self.at += count as usize;
        bits & ((1 << count) - 1)
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
    pub(super) fn decode(self, job: Job, order: &Order) -> bool {
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

    /// Encode the symbols of a plane; return the states a decoder begins with.
    pub(super) fn encode(self, draft: &mut Draft) -> [u32; LANES] {
        match self.0 {
            Kind::Plain(lanes) => coder::encode(lanes, draft),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the value proves that the instructions are there.
            Kind::Avx2(lanes) => unsafe { x86::encode_avx2(lanes, draft) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the value proves that the instructions are there.
            Kind::Avx512(lanes) => unsafe { x86::encode_avx512(lanes, draft) },
        }
    }

    /// Decode the samples of a chunk of `weave`.
    pub(super) fn decode_woven(self, job: WovenJob) -> bool {
        match self.0 {
            Kind::Plain(lanes) => woven::decode(lanes, job),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the value proves that the instructions are there.
            Kind::Avx2(lanes) => unsafe { x86::decode_woven_avx2(lanes, job) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the value proves that the instructions are there.
            Kind::Avx512(lanes) => unsafe { x86::decode_woven_avx512(lanes, job) },
        }
    }

    /// Encode the symbols of a chunk of `weave`; return the states a decoder begins with.
    pub(super) fn encode_woven(self, draft: &mut WovenDraft) -> [u32; LANES] {
        match self.0 {
            Kind::Plain(lanes) => woven_coder::encode(lanes, draft),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the value proves that the instructions are there.
            Kind::Avx2(lanes) => unsafe { x86::encode_woven_avx2(lanes, draft) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the value proves that the instructions are there.
            Kind::Avx512(lanes) => unsafe { x86::encode_woven_avx512(lanes, draft) },
        }
    }
}
