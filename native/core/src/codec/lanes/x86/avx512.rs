//! Registers of 32 narrow or 16 wide lanes.
//!
//! Every `unsafe` here rests on two things: the value of this type proves that the instructions are
//! there, and no address is formed from data but as an index that is masked first.

use std::arch::x86_64::*;

use super::super::super::predict::WEIGHT_BITS;
use super::super::{LANES, Lanes, Looks, Output, Window};
use super::lanewise;

#[derive(Clone, Copy)]
pub(in super::super) struct Avx512(());

/// A register for each band.
#[derive(Clone, Copy)]
pub(in super::super) struct Narrow([__m512i; 2]);

/// Two registers for each band.
#[derive(Clone, Copy)]
pub(in super::super) struct Wide([__m512i; 4]);

impl Avx512 {
    /// Return the proof that this machine has the instructions.
    pub(in super::super) fn detect() -> Option<Self> {
        let there = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("popcnt");
        there.then_some(Self(()))
    }
}

// Not `from_fn`, which is not inlined where the instructions are.
impl Narrow {
    #[inline(always)]
    fn each(f: impl Fn(usize) -> __m512i) -> Self {
        Self([f(0), f(1)])
    }
}

impl Wide {
    #[inline(always)]
    fn each(f: impl Fn(usize) -> __m512i) -> Self {
        Self([f(0), f(1), f(2), f(3)])
    }
}

/// The bits of lanes whose third bit is clear.
const LOWER: u32 = 0x0f0f_0f0f;

#[allow(clippy::inline_always)]
impl Lanes for Avx512 {
    type Narrow = Narrow;
    type Wide = Wide;
    type Mask = [__mmask32; 2];
    type WideMask = [__mmask16; 4];

    lanewise! {
        add(a, b): Narrow = _mm512_add_epi16;
        sub(a, b): Narrow = _mm512_sub_epi16;
        add_most(a, b): Narrow = _mm512_adds_epu16;
        average(a, b): Narrow = _mm512_avg_epu16;
        min(a, b): Narrow = _mm512_min_epi16;
        max(a, b): Narrow = _mm512_max_epi16;
        and(a, b): Narrow = _mm512_and_si512;
        xor(a, b): Narrow = _mm512_xor_si512;
        add_wide(a, b): Wide = _mm512_add_epi32;
        sub_wide(a, b): Wide = _mm512_sub_epi32;
        mul_wide(a, b): Wide = _mm512_mullo_epi32;
        and_wide(a, b): Wide = _mm512_and_si512;
        shl_wide(a, by): Wide = _mm512_sllv_epi32;
        shr_wide(a, by): Wide = _mm512_srlv_epi32;
    }

    #[inline(always)]
    fn splat(self, value: u16) -> Narrow {
        // SAFETY: see above.
        Narrow::each(|_| unsafe { _mm512_set1_epi16(value as i16) })
    }

    #[inline(always)]
    fn load(self, lanes: &[u16; LANES]) -> Narrow {
        // SAFETY: 2 registers are the 64 lanes.
        Narrow::each(|part| unsafe { _mm512_loadu_si512(lanes.as_ptr().add(32 * part).cast()) })
    }

    #[inline(always)]
    fn store(self, vector: Narrow, to: &mut [u16; LANES]) {
        for (part, register) in vector.0.into_iter().enumerate() {
            // SAFETY: 32 samples from `32 * part` are within the 64.
            unsafe { _mm512_storeu_si512(to.as_mut_ptr().add(32 * part).cast(), register) };
        }
    }

    #[inline(always)]
    fn half(self, a: Narrow) -> Narrow {
        // SAFETY: see above.
        Narrow::each(|part| unsafe { _mm512_srli_epi16::<1>(a.0[part]) })
    }

    #[inline(always)]
    fn linear(self, pairs: [(Narrow, Narrow); 3], weights: [i32; 3]) -> Narrow {
        let [a, b, c] = pairs;
        // Not by a closure, which is too much to be inlined where the instructions are.
        Narrow([
            linear(
                [a.0.0[0], b.0.0[0], c.0.0[0]],
                [a.1.0[0], b.1.0[0], c.1.0[0]],
                weights,
            ),
            linear(
                [a.0.0[1], b.0.0[1], c.0.0[1]],
                [a.1.0[1], b.1.0[1], c.1.0[1]],
                weights,
            ),
        ])
    }

    #[inline(always)]
    fn above(self, a: Narrow, than: i16) -> u64 {
        // SAFETY: see above.
        unsafe {
            let than = _mm512_set1_epi16(than);
            let low = _mm512_cmpgt_epi16_mask(a.0[0], than);
            let high = _mm512_cmpgt_epi16_mask(a.0[1], than);
            u64::from(low) | u64::from(high) << 32
        }
    }

    #[inline(always)]
    fn put(self, vector: Narrow, lane: usize, value: u16) -> Narrow {
        let bit = 1_u64 << (lane % LANES);
        let masks = [bit as u32, (bit >> 32) as u32];
        // SAFETY: see above.
        Narrow::each(|part| unsafe {
            _mm512_mask_set1_epi16(vector.0[part], masks[part], value as i16)
        })
    }

    #[inline(always)]
    fn mask(self, bits: [u32; 2]) -> [__mmask32; 2] {
        bits
    }

    #[inline(always)]
    fn select(self, mask: [__mmask32; 2], yes: Narrow, no: Narrow) -> Narrow {
        // SAFETY: see above.
        Narrow::each(|part| unsafe { _mm512_mask_blend_epi16(mask[part], no.0[part], yes.0[part]) })
    }

    #[inline(always)]
    fn shift_in(self, vector: Narrow, first: [u16; 2]) -> Narrow {
        let mut order = [0_u16; 32];
        for (lane, from) in order.iter_mut().enumerate() {
            // The first of the second register, then those of the first one.
            *from = if lane == 0 { 32 } else { lane as u16 - 1 };
        }
        // SAFETY: see above.
        Narrow::each(|part| unsafe {
            let order = _mm512_loadu_si512(order.as_ptr().cast());
            let first = _mm512_castsi128_si512(_mm_cvtsi32_si128(i32::from(first[part])));
            _mm512_permutex2var_epi16(vector.0[part], order, first)
        })
    }

    #[inline(always)]
    fn bottoms(self, vector: Narrow) -> [u16; 2] {
        // SAFETY: see above.
        vector
            .0
            .map(|register| unsafe { _mm512_cvtsi512_si32(register) } as u16)
    }

    #[inline(always)]
    fn tops(self, vector: Narrow) -> [u16; 2] {
        // SAFETY: see above.
        let top = |register| unsafe {
            _mm_extract_epi16::<7>(_mm512_extracti32x4_epi32::<3>(register)) as u16
        };
        [top(vector.0[0]), top(vector.0[1])]
    }

    #[inline(always)]
    fn weave(self, even: Narrow, odd: Narrow, flip: u16, to: &mut [u8; 4 * LANES]) {
        let (mut low, mut high) = ([0_u16; 32], [0_u16; 32]);
        for at in 0..32 {
            // From the first register and from the second one in turn.
            let from = at as u16 / 2 + 32 * (at as u16 % 2);
            (low[at], high[at]) = (from, from + 16);
        }
        // SAFETY: 4 registers are the 256 bytes.
        unsafe {
            let flip = _mm512_set1_epi16(flip as i16);
            let low = _mm512_loadu_si512(low.as_ptr().cast());
            let high = _mm512_loadu_si512(high.as_ptr().cast());
            for part in 0..2 {
                let to = to.as_mut_ptr().add(128 * part);
                let (even, odd) = (even.0[part], odd.0[part]);
                let first = _mm512_permutex2var_epi16(even, low, odd);
                let second = _mm512_permutex2var_epi16(even, high, odd);
                _mm512_storeu_si512(to.cast(), _mm512_xor_si512(first, flip));
                _mm512_storeu_si512(to.add(64).cast(), _mm512_xor_si512(second, flip));
            }
        }
    }

    #[inline(always)]
    fn widen(self, vector: Narrow) -> Wide {
        // SAFETY: see above.
        unsafe {
            let [a, b] = vector.0;
            let zero = _mm512_setzero_si512();
            Wide([
                _mm512_unpacklo_epi16(a, zero),
                _mm512_unpackhi_epi16(a, zero),
                _mm512_unpacklo_epi16(b, zero),
                _mm512_unpackhi_epi16(b, zero),
            ])
        }
    }

    #[inline(always)]
    fn narrow(self, vector: Wide) -> Narrow {
        let [a, b, c, d] = vector.0;
        // SAFETY: see above.
        unsafe { Narrow([_mm512_packus_epi32(a, b), _mm512_packus_epi32(c, d)]) }
    }

    #[inline(always)]
    fn load_wide(self, lanes: &[u32; LANES]) -> Wide {
        // SAFETY: 4 registers are the 64 lanes.
        Wide::each(|part| unsafe { _mm512_loadu_si512(lanes.as_ptr().add(16 * part).cast()) })
    }

    #[inline(always)]
    fn store_wide(self, vector: Wide) -> [u32; LANES] {
        let mut lanes = [0; LANES];
        for (part, register) in vector.0.into_iter().enumerate() {
            // SAFETY: 4 registers are the 64 lanes.
            unsafe { _mm512_storeu_si512(lanes.as_mut_ptr().add(16 * part).cast(), register) };
        }
        lanes
    }

    #[inline(always)]
    fn splat_wide(self, value: u32) -> Wide {
        // SAFETY: see above.
        Wide::each(|_| unsafe { _mm512_set1_epi32(value as i32) })
    }

    #[inline(always)]
    fn float_bits(self, a: Wide) -> Wide {
        // SAFETY: see above.
        Wide::each(|part| unsafe { _mm512_castps_si512(_mm512_cvtepi32_ps(a.0[part])) })
    }

    #[inline(always)]
    fn wide_mask(self, bits: [u32; 2]) -> [__mmask16; 4] {
        // SAFETY: see above.
        let part = |bits, which| unsafe { _pext_u32(bits, which) as u16 };
        let [a, b] = bits;
        [
            part(a, LOWER),
            part(a, !LOWER),
            part(b, LOWER),
            part(b, !LOWER),
        ]
    }

    #[inline(always)]
    fn less_wide(self, a: Wide, b: Wide) -> [__mmask16; 4] {
        // SAFETY: see above.
        let less = |part: usize| unsafe { _mm512_cmplt_epu32_mask(a.0[part], b.0[part]) };
        [less(0), less(1), less(2), less(3)]
    }

    #[inline(always)]
    fn both_wide(self, a: [__mmask16; 4], b: [__mmask16; 4]) -> [__mmask16; 4] {
        [a[0] & b[0], a[1] & b[1], a[2] & b[2], a[3] & b[3]]
    }

    #[inline(always)]
    fn select_wide(self, mask: [__mmask16; 4], yes: Wide, no: Wide) -> Wide {
        // SAFETY: see above.
        Wide::each(|part| unsafe { _mm512_mask_blend_epi32(mask[part], no.0[part], yes.0[part]) })
    }

    #[inline(always)]
    fn lookup(self, table: &[u32; 32], index: Wide) -> Wide {
        // SAFETY: 2 registers are the table; the instruction looks at 5 bits of an index.
        Wide::each(|part| unsafe {
            let low = _mm512_loadu_si512(table.as_ptr().cast());
            let high = _mm512_loadu_si512(table.as_ptr().add(16).cast());
            _mm512_permutex2var_epi32(low, index.0[part], high)
        })
    }

    #[inline(always)]
    fn look(self, looks: &Looks, index: Wide) -> Wide {
        // SAFETY: 4 registers are the places; the instruction looks at 6 bits of an index.
        Wide::each(|part| unsafe {
            let table = looks.narrow.as_ptr();
            let [a, b, c, d] = [
                _mm512_loadu_si512(table.cast()),
                _mm512_loadu_si512(table.add(32).cast()),
                _mm512_loadu_si512(table.add(64).cast()),
                _mm512_loadu_si512(table.add(96).cast()),
            ];
            let index = index.0[part];
            let second = _mm512_test_epi32_mask(index, _mm512_set1_epi32(64));
            // Of each lane the upper half is nothing.
            let one = _mm512_maskz_permutex2var_epi16(0x5555_5555, a, index, b);
            let other = _mm512_maskz_permutex2var_epi16(0x5555_5555, c, index, d);
            _mm512_mask_blend_epi32(second, one, other)
        })
    }

    #[inline(always)]
    fn gather<const N: usize>(self, table: &[u32; N], index: Wide) -> Wide {
        // SAFETY: the masked index is within `table`.
        Wide::each(|part| unsafe {
            let index = _mm512_and_si512(index.0[part], _mm512_set1_epi32(N as i32 - 1));
            _mm512_i32gather_epi32::<4>(index, table.as_ptr().cast())
        })
    }

    #[inline(always)]
    fn divide(self, a: Wide, by: Wide) -> (Wide, Wide) {
        let (mut quotient, mut rest) = (a, a);
        for part in 0..4 {
            // SAFETY: see above.
            unsafe {
                let (a, by) = (a.0[part], by.0[part]);
                let ratio = _mm512_div_ps(_mm512_cvtepu32_ps(a), _mm512_cvtepi32_ps(by));
                // Two roundings, of less than 1 together: it may be one too few, or one too many.
                let near = _mm512_cvttps_epi32(ratio);
                let left = _mm512_sub_epi32(a, _mm512_mullo_epi32(near, by));
                let one = _mm512_set1_epi32(1);
                let many = _mm512_cmplt_epi32_mask(left, _mm512_setzero_si512());
                let near = _mm512_mask_sub_epi32(near, many, near, one);
                let left = _mm512_mask_add_epi32(left, many, left, by);
                let few = _mm512_cmpge_epi32_mask(left, by);
                quotient.0[part] = _mm512_mask_add_epi32(near, few, near, one);
                rest.0[part] = _mm512_mask_sub_epi32(left, few, left, by);
            }
        }
        (quotient, rest)
    }

    #[inline(always)]
    fn refill(self, states: Wide, mask: [__mmask16; 4], words: &mut Window) -> Wide {
        let next = words.peek();
        let [a, b, c, d] = mask.map(|mask| mask.count_ones() as usize);
        // SAFETY: of 128 bytes 32 are read, that begin after at most 48 words.
        let part = |at: usize| unsafe { _mm256_loadu_si256(next.as_ptr().add(2 * at).cast()) };
        let filled = Wide([
            refill(states.0[0], mask[0], part(0)),
            refill(states.0[1], mask[1], part(a)),
            refill(states.0[2], mask[2], part(a + b)),
            refill(states.0[3], mask[3], part(a + b + c)),
        ]);
        words.take((a + b + c + d) as u32);
        filled
    }

    #[inline(always)]
    fn give(self, states: Wide, mask: [__mmask16; 4], output: &mut Output) -> Wide {
        for part in (0..4).rev() {
            give(states.0[part], mask[part], output);
        }
        // SAFETY: see above.
        Wide::each(|part| unsafe {
            _mm512_mask_srli_epi32::<16>(states.0[part], mask[part], states.0[part])
        })
    }
}

#[inline(always)]
fn give(state: __m512i, mask: __mmask16, output: &mut Output) {
    if let Some(to) = output.next::<16>(mask.count_ones()) {
        // SAFETY: 32 bytes are written to 32.
        unsafe {
            let given = _mm512_maskz_compress_epi32(mask, state);
            let places = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
            let last = _mm512_set1_epi32(mask.count_ones() as i32 - 1);
            let given = _mm512_permutexvar_epi32(_mm512_sub_epi32(last, places), given);
            _mm256_storeu_si256(to.as_mut_ptr().cast(), _mm512_cvtepi32_epi16(given));
        }
    }
}

#[inline(always)]
fn linear(a: [__m512i; 3], b: [__m512i; 3], weights: [i32; 3]) -> __m512i {
    // SAFETY: see above.
    unsafe {
        let low = sum(
            _mm512_unpacklo_epi16(a[0], b[0]),
            _mm512_unpacklo_epi16(a[1], b[1]),
            _mm512_unpacklo_epi16(a[2], b[2]),
            weights,
        );
        let high = sum(
            _mm512_unpackhi_epi16(a[0], b[0]),
            _mm512_unpackhi_epi16(a[1], b[1]),
            _mm512_unpackhi_epi16(a[2], b[2]),
            weights,
        );
        _mm512_packs_epi32(low, high)
    }
}

#[inline(always)]
fn sum(a: __m512i, b: __m512i, c: __m512i, weights: [i32; 3]) -> __m512i {
    // SAFETY: see above.
    unsafe {
        let a = _mm512_madd_epi16(a, _mm512_set1_epi32(weights[0]));
        let b = _mm512_madd_epi16(b, _mm512_set1_epi32(weights[1]));
        let c = _mm512_madd_epi16(c, _mm512_set1_epi32(weights[2]));
        let half = _mm512_set1_epi32(1 << (WEIGHT_BITS - 1));
        let sum = _mm512_add_epi32(_mm512_add_epi32(b, c), _mm512_add_epi32(a, half));
        _mm512_srai_epi32::<{ WEIGHT_BITS as _ }>(sum)
    }
}

#[inline(always)]
fn refill(state: __m512i, mask: __mmask16, words: __m256i) -> __m512i {
    // SAFETY: see above.
    unsafe {
        let next = _mm512_maskz_expand_epi32(mask, _mm512_cvtepu16_epi32(words));
        let shifted = _mm512_slli_epi32::<16>(state);
        _mm512_mask_or_epi32(state, mask, shifted, next)
    }
}
