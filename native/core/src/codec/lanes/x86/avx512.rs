//! Two registers of 16 lanes.
//!
//! Every `unsafe` here rests on two things: the value of this type proves that the instructions are
//! there, and no address is formed from data but as an index that is masked first.

use std::arch::x86_64::*;

use super::super::{LANES, Lanes, SLOTS, Slots, Words};

#[derive(Clone, Copy)]
pub(in super::super) struct Avx512(());

type Vector = [__m512i; 2];
type Mask = [__mmask16; 2];

impl Avx512 {
    /// Return the proof that this machine has the instructions.
    pub(in super::super) fn detect() -> Option<Self> {
        let there = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl");
        there.then_some(Self(()))
    }
}

#[inline(always)]
fn each(f: impl Fn(usize) -> __m512i) -> Vector {
    // Not `from_fn`, which is not inlined where the instructions are.
    [f(0), f(1)]
}

#[allow(clippy::inline_always)]
impl Lanes for Avx512 {
    type Vector = Vector;
    type Mask = Mask;

    #[inline(always)]
    fn load(self, lanes: &[i32; LANES]) -> Vector {
        // SAFETY: 2 registers are the 32 lanes.
        each(|part| unsafe { _mm512_loadu_si512(lanes.as_ptr().add(16 * part).cast()) })
    }

    #[inline(always)]
    fn store(self, vector: Vector) -> [i32; LANES] {
        let mut lanes = [0_i32; LANES];
        for (part, register) in vector.into_iter().enumerate() {
            // SAFETY: 2 registers are the 32 lanes.
            unsafe { _mm512_storeu_si512(lanes.as_mut_ptr().add(16 * part).cast(), register) };
        }
        lanes
    }

    #[inline(always)]
    fn splat(self, value: i32) -> Vector {
        // SAFETY: see above.
        each(|_| unsafe { _mm512_set1_epi32(value) })
    }

    #[inline(always)]
    fn narrow(self, vector: Vector, to: &mut [u16; LANES]) {
        for (part, register) in vector.into_iter().enumerate() {
            // SAFETY: 16 samples from `16 * part` are within the 32.
            unsafe {
                let to = to.as_mut_ptr().add(16 * part).cast();
                _mm256_storeu_si256(to, _mm512_cvtepi32_epi16(register));
            }
        }
    }

    #[inline(always)]
    fn add(self, a: Vector, b: Vector) -> Vector {
        // SAFETY: see above.
        each(|part| unsafe { _mm512_add_epi32(a[part], b[part]) })
    }

    #[inline(always)]
    fn sub(self, a: Vector, b: Vector) -> Vector {
        // SAFETY: see above.
        each(|part| unsafe { _mm512_sub_epi32(a[part], b[part]) })
    }

    #[inline(always)]
    fn mul(self, a: Vector, b: Vector) -> Vector {
        // SAFETY: see above.
        each(|part| unsafe { _mm512_mullo_epi32(a[part], b[part]) })
    }

    #[inline(always)]
    fn min(self, a: Vector, b: Vector) -> Vector {
        // SAFETY: see above.
        each(|part| unsafe { _mm512_min_epi32(a[part], b[part]) })
    }

    #[inline(always)]
    fn max(self, a: Vector, b: Vector) -> Vector {
        // SAFETY: see above.
        each(|part| unsafe { _mm512_max_epi32(a[part], b[part]) })
    }

    #[inline(always)]
    fn and(self, a: Vector, b: Vector) -> Vector {
        // SAFETY: see above.
        each(|part| unsafe { _mm512_and_si512(a[part], b[part]) })
    }

    #[inline(always)]
    fn xor(self, a: Vector, b: Vector) -> Vector {
        // SAFETY: see above.
        each(|part| unsafe { _mm512_xor_si512(a[part], b[part]) })
    }

    #[inline(always)]
    fn shl(self, a: Vector, by: Vector) -> Vector {
        // SAFETY: see above.
        each(|part| unsafe { _mm512_sllv_epi32(a[part], by[part]) })
    }

    #[inline(always)]
    fn shr(self, a: Vector, by: Vector) -> Vector {
        // SAFETY: see above.
        each(|part| unsafe { _mm512_srlv_epi32(a[part], by[part]) })
    }

    #[inline(always)]
    fn sar(self, a: Vector, by: Vector) -> Vector {
        // SAFETY: see above.
        each(|part| unsafe { _mm512_srav_epi32(a[part], by[part]) })
    }

    #[inline(always)]
    fn float_bits(self, a: Vector) -> Vector {
        // SAFETY: see above.
        each(|part| unsafe { _mm512_castps_si512(_mm512_cvtepi32_ps(a[part])) })
    }

    #[inline(always)]
    fn equal(self, a: Vector, b: Vector) -> Mask {
        // SAFETY: see above.
        unsafe {
            [
                _mm512_cmpeq_epi32_mask(a[0], b[0]),
                _mm512_cmpeq_epi32_mask(a[1], b[1]),
            ]
        }
    }

    #[inline(always)]
    fn less(self, a: Vector, b: Vector) -> Mask {
        // SAFETY: see above.
        unsafe {
            [
                _mm512_cmplt_epi32_mask(a[0], b[0]),
                _mm512_cmplt_epi32_mask(a[1], b[1]),
            ]
        }
    }

    #[inline(always)]
    fn both(self, a: Mask, b: Mask) -> Mask {
        [a[0] & b[0], a[1] & b[1]]
    }

    #[inline(always)]
    fn any(self, a: Mask) -> bool {
        a[0] | a[1] != 0
    }

    #[inline(always)]
    fn select(self, mask: Mask, yes: Vector, no: Vector) -> Vector {
        // SAFETY: see above.
        each(|part| unsafe { _mm512_mask_blend_epi32(mask[part], no[part], yes[part]) })
    }

    #[inline(always)]
    fn shift_in(self, [a, b]: Vector, first: i32) -> Vector {
        // SAFETY: see above.
        unsafe {
            [
                _mm512_alignr_epi32::<15>(a, _mm512_set1_epi32(first)),
                _mm512_alignr_epi32::<15>(b, a),
            ]
        }
    }

    #[inline(always)]
    fn top(self, vector: Vector) -> i32 {
        // SAFETY: see above.
        unsafe { _mm_extract_epi32::<3>(_mm512_extracti32x4_epi32::<3>(vector[1])) }
    }

    #[inline(always)]
    fn lookup(self, table: &[i32; 32], index: Vector) -> Vector {
        let [low, high] = self.load(table);
        // SAFETY: the instruction looks at 5 bits of an index.
        each(|part| unsafe { _mm512_permutex2var_epi32(low, index[part], high) })
    }

    #[inline(always)]
    fn gather(self, slots: &Slots, index: Vector) -> Vector {
        // SAFETY: the masked index is within `slots`.
        each(|part| unsafe {
            let index = _mm512_and_si512(index[part], _mm512_set1_epi32(SLOTS as i32 - 1));
            _mm512_i32gather_epi32::<4>(index, slots.as_ptr().cast())
        })
    }

    #[inline(always)]
    fn refill(self, states: Vector, mask: Mask, words: &mut Words) -> Vector {
        [
            refill(states[0], mask[0], words),
            refill(states[1], mask[1], words),
        ]
    }
}

#[inline(always)]
fn refill(state: __m512i, mask: __mmask16, words: &mut Words) -> __m512i {
    let mut spare = [0; 32];
    // SAFETY: 32 bytes are read from 32.
    let next = unsafe {
        _mm512_cvtepu16_epi32(_mm256_loadu_si256(words.peek(&mut spare).as_ptr().cast()))
    };
    words.take(mask.count_ones());
    // SAFETY: see above.
    unsafe {
        let next = _mm512_maskz_expand_epi32(mask, next);
        let shifted = _mm512_slli_epi32::<16>(state);
        _mm512_mask_or_epi32(state, mask, shifted, next)
    }
}
