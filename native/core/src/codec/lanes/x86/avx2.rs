//! Four registers of 8 lanes; a mask is a register of all ones or all zeros in each lane.
//!
//! Every `unsafe` here rests on two things: the value of this type proves that the instructions are
//! there, and no address is formed from data but as an index that is masked first.

use std::arch::x86_64::*;

use super::super::{LANES, Lanes, SLOTS, Slots, Words};

#[derive(Clone, Copy)]
pub(in super::super) struct Avx2(());

type Vector = [__m256i; 4];
type Mask = [__m256i; 4];

impl Avx2 {
    /// Return the proof that this machine has the instructions.
    pub(in super::super) fn detect() -> Option<Self> {
        let there = is_x86_feature_detected!("avx2");
        there.then_some(Self(()))
    }
}

#[inline(always)]
fn each(f: impl Fn(usize) -> __m256i) -> Vector {
    // Not `from_fn`, which is not inlined where the instructions are.
    [f(0), f(1), f(2), f(3)]
}

#[allow(clippy::inline_always)]
impl Lanes for Avx2 {
    type Vector = Vector;
    type Mask = Mask;

    #[inline(always)]
    fn load(self, lanes: &[i32; LANES]) -> Vector {
        // SAFETY: 4 registers are the 32 lanes.
        each(|part| unsafe { _mm256_loadu_si256(lanes.as_ptr().add(8 * part).cast()) })
    }

    #[inline(always)]
    fn store(self, vector: Vector) -> [i32; LANES] {
        let mut lanes = [0_i32; LANES];
        for (part, register) in vector.into_iter().enumerate() {
            // SAFETY: 4 registers are the 32 lanes.
            unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().add(8 * part).cast(), register) };
        }
        lanes
    }

    #[inline(always)]
    fn splat(self, value: i32) -> Vector {
        // SAFETY: see above.
        each(|_| unsafe { _mm256_set1_epi32(value) })
    }

    #[inline(always)]
    fn narrow(self, vector: Vector, to: &mut [u16; LANES]) {
        for part in 0..2 {
            // SAFETY: 16 samples from `16 * part` are within the 32.
            unsafe {
                let low = _mm256_set1_epi32(0xffff);
                let a = _mm256_and_si256(vector[2 * part], low);
                let b = _mm256_and_si256(vector[2 * part + 1], low);
                let packed = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packus_epi32(a, b));
                _mm256_storeu_si256(to.as_mut_ptr().add(16 * part).cast(), packed);
            }
        }
    }

    #[inline(always)]
    fn add(self, a: Vector, b: Vector) -> Vector {
        // SAFETY: see above.
        each(|part| unsafe { _mm256_add_epi32(a[part], b[part]) })
    }

    #[inline(always)]
    fn sub(self, a: Vector, b: Vector) -> Vector {
        // SAFETY: see above.
        each(|part| unsafe { _mm256_sub_epi32(a[part], b[part]) })
    }

    #[inline(always)]
    fn mul(self, a: Vector, b: Vector) -> Vector {
        // SAFETY: see above.
        each(|part| unsafe { _mm256_mullo_epi32(a[part], b[part]) })
    }

    #[inline(always)]
    fn min(self, a: Vector, b: Vector) -> Vector {
        // SAFETY: see above.
        each(|part| unsafe { _mm256_min_epi32(a[part], b[part]) })
    }

    #[inline(always)]
    fn max(self, a: Vector, b: Vector) -> Vector {
        // SAFETY: see above.
        each(|part| unsafe { _mm256_max_epi32(a[part], b[part]) })
    }

    #[inline(always)]
    fn and(self, a: Vector, b: Vector) -> Vector {
        // SAFETY: see above.
        each(|part| unsafe { _mm256_and_si256(a[part], b[part]) })
    }

    #[inline(always)]
    fn xor(self, a: Vector, b: Vector) -> Vector {
        // SAFETY: see above.
        each(|part| unsafe { _mm256_xor_si256(a[part], b[part]) })
    }

    #[inline(always)]
    fn shl(self, a: Vector, by: Vector) -> Vector {
        // SAFETY: see above.
        each(|part| unsafe { _mm256_sllv_epi32(a[part], by[part]) })
    }

    #[inline(always)]
    fn shr(self, a: Vector, by: Vector) -> Vector {
        // SAFETY: see above.
        each(|part| unsafe { _mm256_srlv_epi32(a[part], by[part]) })
    }

    #[inline(always)]
    fn sar(self, a: Vector, by: Vector) -> Vector {
        // SAFETY: see above.
        each(|part| unsafe { _mm256_srav_epi32(a[part], by[part]) })
    }

    #[inline(always)]
    fn float_bits(self, a: Vector) -> Vector {
        // SAFETY: see above.
        each(|part| unsafe { _mm256_castps_si256(_mm256_cvtepi32_ps(a[part])) })
    }

    #[inline(always)]
    fn equal(self, a: Vector, b: Vector) -> Mask {
        // SAFETY: see above.
        each(|part| unsafe { _mm256_cmpeq_epi32(a[part], b[part]) })
    }

    #[inline(always)]
    fn less(self, a: Vector, b: Vector) -> Mask {
        // SAFETY: see above.
        each(|part| unsafe { _mm256_cmpgt_epi32(b[part], a[part]) })
    }

    #[inline(always)]
    fn both(self, a: Mask, b: Mask) -> Mask {
        self.and(a, b)
    }

    #[inline(always)]
    fn any(self, [a, b, c, d]: Mask) -> bool {
        // SAFETY: see above.
        unsafe {
            let any = _mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d));
            _mm256_testz_si256(any, any) == 0
        }
    }

    #[inline(always)]
    fn select(self, mask: Mask, yes: Vector, no: Vector) -> Vector {
        // SAFETY: see above.
        each(|part| unsafe { _mm256_blendv_epi8(no[part], yes[part], mask[part]) })
    }

    #[inline(always)]
    fn shift_in(self, vector: Vector, first: i32) -> Vector {
        // SAFETY: see above.
        each(|part| unsafe {
            let before = match part {
                0 => _mm256_set1_epi32(first),
                part => vector[part - 1],
            };
            let middle = _mm256_permute2x128_si256::<0x21>(before, vector[part]);
            _mm256_alignr_epi8::<12>(vector[part], middle)
        })
    }

    #[inline(always)]
    fn top(self, vector: Vector) -> i32 {
        // SAFETY: see above.
        unsafe { _mm256_extract_epi32::<7>(vector[3]) }
    }

    #[inline(always)]
    fn lookup(self, table: &[i32; 32], index: Vector) -> Vector {
        // SAFETY: the masked index is within `table`.
        each(|part| unsafe {
            let index = _mm256_and_si256(index[part], _mm256_set1_epi32(31));
            _mm256_i32gather_epi32::<4>(table.as_ptr(), index)
        })
    }

    #[inline(always)]
    fn gather(self, slots: &Slots, index: Vector) -> Vector {
        // SAFETY: the masked index is within `slots`.
        each(|part| unsafe {
            let index = _mm256_and_si256(index[part], _mm256_set1_epi32(SLOTS as i32 - 1));
            _mm256_i32gather_epi32::<4>(slots.as_ptr().cast(), index)
        })
    }

    #[inline(always)]
    fn refill(self, states: Vector, mask: Mask, words: &mut Words) -> Vector {
        [
            refill(states[0], mask[0], words),
            refill(states[1], mask[1], words),
            refill(states[2], mask[2], words),
            refill(states[3], mask[3], words),
        ]
    }
}

#[inline(always)]
fn refill(state: __m256i, mask: __m256i, words: &mut Words) -> __m256i {
    let mut spare = [0; 16];
    // SAFETY: 16 bytes are read from 16.
    let next =
        unsafe { _mm256_cvtepu16_epi32(_mm_loadu_si128(words.peek(&mut spare).as_ptr().cast())) };
    // SAFETY: 8 bytes are read from 8; 8 bits index 256 entries.
    unsafe {
        let bits = _mm256_movemask_ps(_mm256_castsi256_ps(mask));
        words.take(bits.count_ones());
        let order = _mm_loadl_epi64(EXPAND[bits as usize & 0xff].as_ptr().cast());
        let next = _mm256_permutevar8x32_epi32(next, _mm256_cvtepu8_epi32(order));
        let filled = _mm256_or_si256(_mm256_slli_epi32::<16>(state), next);
        _mm256_blendv_epi8(state, filled, mask)
    }
}

/// For each mask of 8 lanes: which word each lane takes.
static EXPAND: [[u8; 8]; 256] = expand();

const fn expand() -> [[u8; 8]; 256] {
    let mut table = [[0; 8]; 256];
    let mut mask = 0;
    while mask < 256 {
        let (mut lane, mut word) = (0, 0);
        while lane < 8 {
            if mask >> lane & 1 == 1 {
                table[mask][lane] = word;
                word += 1;
            }
            lane += 1;
        }
        mask += 1;
    }
    table
}
