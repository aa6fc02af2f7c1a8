//! Registers of 16 narrow or 8 wide lanes; a mask is a register of all ones or all zeros in each.
//!
//! Every `unsafe` here rests on two things: the value of this type proves that the instructions are
//! there, and no address is formed from data but as an index that is masked first.

use std::arch::x86_64::*;

use super::super::super::predict::WEIGHT_BITS;
use super::super::{BAND, LANES, Lanes, Output, Window};
use super::lanewise;

#[derive(Clone, Copy)]
pub(in super::super) struct Avx2(());

/// Two registers for each band.
#[derive(Clone, Copy)]
pub(in super::super) struct Narrow([__m256i; 4]);

/// Four registers for each band.
#[derive(Clone, Copy)]
pub(in super::super) struct Wide([__m256i; 8]);

impl Avx2 {
    /// Return the proof that this machine has the instructions.
    pub(in super::super) fn detect() -> Option<Self> {
        let there = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("popcnt");
        there.then_some(Self(()))
    }
}

// Not `from_fn`, which is not inlined where the instructions are.
impl Narrow {
    #[inline(always)]
    fn each(f: impl Fn(usize) -> __m256i) -> Self {
        Self([f(0), f(1), f(2), f(3)])
    }
}

impl Wide {
    #[inline(always)]
    fn each(f: impl Fn(usize) -> __m256i) -> Self {
        Self([f(0), f(1), f(2), f(3), f(4), f(5), f(6), f(7)])
    }

    /// From the lower and the upper halves of each register of a narrow vector.
    #[inline(always)]
    fn unpacked(low: impl Fn(usize) -> __m256i, high: impl Fn(usize) -> __m256i) -> Self {
        Self([
            low(0),
            low(1),
            high(0),
            high(1),
            low(2),
            low(3),
            high(2),
            high(3),
        ])
    }
}

#[allow(clippy::inline_always)]
impl Lanes for Avx2 {
    type Narrow = Narrow;
    type Wide = Wide;
    type Mask = Narrow;
    type WideMask = Wide;

    lanewise! {
        add(a, b): Narrow = _mm256_add_epi16;
        sub(a, b): Narrow = _mm256_sub_epi16;
        add_most(a, b): Narrow = _mm256_adds_epu16;
        average(a, b): Narrow = _mm256_avg_epu16;
        min(a, b): Narrow = _mm256_min_epi16;
        max(a, b): Narrow = _mm256_max_epi16;
        and(a, b): Narrow = _mm256_and_si256;
        xor(a, b): Narrow = _mm256_xor_si256;
        add_wide(a, b): Wide = _mm256_add_epi32;
        sub_wide(a, b): Wide = _mm256_sub_epi32;
        mul_wide(a, b): Wide = _mm256_mullo_epi32;
        and_wide(a, b): Wide = _mm256_and_si256;
        both_wide(a, b): Wide = _mm256_and_si256;
        shl_wide(a, by): Wide = _mm256_sllv_epi32;
        shr_wide(a, by): Wide = _mm256_srlv_epi32;
    }

    #[inline(always)]
    fn splat(self, value: u16) -> Narrow {
        // SAFETY: see above.
        Narrow::each(|_| unsafe { _mm256_set1_epi16(value as i16) })
    }

    #[inline(always)]
    fn load(self, lanes: &[u16; LANES]) -> Narrow {
        // SAFETY: 4 registers are the 64 lanes.
        Narrow::each(|part| unsafe { _mm256_loadu_si256(lanes.as_ptr().add(16 * part).cast()) })
    }

    #[inline(always)]
    fn store(self, vector: Narrow, to: &mut [u16; LANES]) {
        for (part, register) in vector.0.into_iter().enumerate() {
            // SAFETY: 16 samples from `16 * part` are within the 64.
            unsafe { _mm256_storeu_si256(to.as_mut_ptr().add(16 * part).cast(), register) };
        }
    }

    #[inline(always)]
    fn half(self, a: Narrow) -> Narrow {
        // SAFETY: see above.
        Narrow::each(|part| unsafe { _mm256_srli_epi16::<1>(a.0[part]) })
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
            linear(
                [a.0.0[2], b.0.0[2], c.0.0[2]],
                [a.1.0[2], b.1.0[2], c.1.0[2]],
                weights,
            ),
            linear(
                [a.0.0[3], b.0.0[3], c.0.0[3]],
                [a.1.0[3], b.1.0[3], c.1.0[3]],
                weights,
            ),
        ])
    }

    #[inline(always)]
    fn above(self, Narrow([a, b, c, d]): Narrow, than: i16) -> u64 {
        u64::from(above([a, b], than)) | u64::from(above([c, d], than)) << BAND
    }

    #[inline(always)]
    fn put(self, vector: Narrow, lane: usize, value: u16) -> Narrow {
        let bit = 1_u64 << (lane % LANES);
        self.select(
            self.mask([bit as u32, (bit >> BAND) as u32]),
            self.splat(value),
            vector,
        )
    }

    #[inline(always)]
    fn mask(self, bits: [u32; 2]) -> Narrow {
        // SAFETY: see above.
        Narrow::each(|part| unsafe {
            let bits = bits[part / 2] >> (16 * (part % 2));
            let lanes = _mm256_setr_epi16(
                1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, -32768,
            );
            let chosen = _mm256_and_si256(_mm256_set1_epi16(bits as i16), lanes);
            _mm256_cmpeq_epi16(chosen, lanes)
        })
    }

    #[inline(always)]
    fn select(self, mask: Narrow, yes: Narrow, no: Narrow) -> Narrow {
        // SAFETY: see above.
        Narrow::each(|part| unsafe { _mm256_blendv_epi8(no.0[part], yes.0[part], mask.0[part]) })
    }

    #[inline(always)]
    fn shift_in(self, vector: Narrow, first: [u16; 2]) -> Narrow {
        // SAFETY: see above.
        Narrow::each(|part| unsafe {
            let before = match part % 2 {
                0 => _mm256_set1_epi16(first[part / 2] as i16),
                _ => vector.0[part - 1],
            };
            let middle = _mm256_permute2x128_si256::<0x21>(before, vector.0[part]);
            _mm256_alignr_epi8::<14>(vector.0[part], middle)
        })
    }

    #[inline(always)]
    fn bottoms(self, vector: Narrow) -> [u16; 2] {
        // SAFETY: see above.
        let bottom = |register| unsafe { _mm256_extract_epi16::<0>(register) } as u16;
        [bottom(vector.0[0]), bottom(vector.0[2])]
    }

    #[inline(always)]
    fn tops(self, vector: Narrow) -> [u16; 2] {
        // SAFETY: see above.
        let top = |register| unsafe { _mm256_extract_epi16::<15>(register) } as u16;
        [top(vector.0[1]), top(vector.0[3])]
    }

    #[inline(always)]
    fn weave(self, even: Narrow, odd: Narrow, flip: u16, to: &mut [u8; 4 * LANES]) {
        for part in 0..4 {
            // SAFETY: 8 registers are the 256 bytes.
            unsafe {
                let (flip, to) = (
                    _mm256_set1_epi16(flip as i16),
                    to.as_mut_ptr().add(64 * part),
                );
                let (even, odd) = (even.0[part], _mm256_xor_si256(odd.0[part], flip));
                let even = _mm256_xor_si256(even, flip);
                let (low, high) = (
                    _mm256_unpacklo_epi16(even, odd),
                    _mm256_unpackhi_epi16(even, odd),
                );
                let first = _mm256_permute2x128_si256::<0x20>(low, high);
                let second = _mm256_permute2x128_si256::<0x31>(low, high);
                _mm256_storeu_si256(to.cast(), first);
                _mm256_storeu_si256(to.add(32).cast(), second);
            }
        }
    }

    #[inline(always)]
    fn widen(self, vector: Narrow) -> Wide {
        // SAFETY: see above.
        unsafe {
            let zero = _mm256_setzero_si256();
            Wide::unpacked(
                |part| _mm256_unpacklo_epi16(vector.0[part], zero),
                |part| _mm256_unpackhi_epi16(vector.0[part], zero),
            )
        }
    }

    #[inline(always)]
    fn narrow(self, Wide(wide): Wide) -> Narrow {
        // SAFETY: see above.
        Narrow::each(|part| unsafe {
            let low = part / 2 * 4 + part % 2;
            _mm256_packus_epi32(wide[low], wide[low + 2])
        })
    }

    #[inline(always)]
    fn load_wide(self, lanes: &[u32; LANES]) -> Wide {
        // SAFETY: 8 registers are the 64 lanes.
        Wide::each(|part| unsafe { _mm256_loadu_si256(lanes.as_ptr().add(8 * part).cast()) })
    }

    #[inline(always)]
    fn store_wide(self, vector: Wide) -> [u32; LANES] {
        let mut lanes = [0; LANES];
        for (part, register) in vector.0.into_iter().enumerate() {
            // SAFETY: 8 registers are the 64 lanes.
            unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().add(8 * part).cast(), register) };
        }
        lanes
    }

    #[inline(always)]
    fn splat_wide(self, value: u32) -> Wide {
        // SAFETY: see above.
        Wide::each(|_| unsafe { _mm256_set1_epi32(value as i32) })
    }

    #[inline(always)]
    fn float_bits(self, a: Wide) -> Wide {
        // SAFETY: see above.
        Wide::each(|part| unsafe { _mm256_castps_si256(_mm256_cvtepi32_ps(a.0[part])) })
    }

    #[inline(always)]
    fn wide_mask(self, bits: [u32; 2]) -> Wide {
        // SAFETY: see above.
        let chosen = |part: usize, upper: i32| unsafe {
            let bits = bits[part / 2] >> (BAND / 2 * (part % 2));
            let lanes = _mm256_setr_epi32(1, 2, 4, 8, 256, 512, 1024, 2048);
            let lanes = _mm256_sllv_epi32(lanes, _mm256_set1_epi32(upper));
            let chosen = _mm256_and_si256(_mm256_set1_epi32(bits as i32), lanes);
            _mm256_cmpeq_epi32(chosen, lanes)
        };
        Wide::unpacked(|part| chosen(part, 0), |part| chosen(part, 4))
    }

    #[inline(always)]
    fn less_wide(self, a: Wide, b: Wide) -> Wide {
        // SAFETY: see above.
        Wide::each(|part| unsafe {
            // Unsigned, which signed comparison is with the upper bits inverted.
            let top = _mm256_set1_epi32(i32::MIN);
            let (a, b) = (
                _mm256_xor_si256(a.0[part], top),
                _mm256_xor_si256(b.0[part], top),
            );
            _mm256_cmpgt_epi32(b, a)
        })
    }

    #[inline(always)]
    fn select_wide(self, mask: Wide, yes: Wide, no: Wide) -> Wide {
        // SAFETY: see above.
        Wide::each(|part| unsafe { _mm256_blendv_epi8(no.0[part], yes.0[part], mask.0[part]) })
    }

    #[inline(always)]
    fn lookup(self, table: &[u32; 32], index: Wide) -> Wide {
        self.gather(table, index)
    }

    #[inline(always)]
    fn gather<const N: usize>(self, table: &[u32; N], index: Wide) -> Wide {
        // SAFETY: the masked index is within `table`.
        Wide::each(|part| unsafe {
            let index = _mm256_and_si256(index.0[part], _mm256_set1_epi32(N as i32 - 1));
            _mm256_i32gather_epi32::<4>(table.as_ptr().cast(), index)
        })
    }

    #[inline(always)]
    fn divide(self, a: Wide, by: Wide) -> (Wide, Wide) {
        let (mut quotient, mut rest) = (a, a);
        for part in 0..8 {
            // SAFETY: see above.
            unsafe {
                let (a, by) = (a.0[part], by.0[part]);
                let upper = _mm256_cvtepi32_ps(_mm256_srli_epi32::<16>(a));
                let lower = _mm256_and_si256(a, _mm256_set1_epi32(0xffff));
                let upper = _mm256_mul_ps(upper, _mm256_set1_ps(65536.0));
                let all = _mm256_add_ps(upper, _mm256_cvtepi32_ps(lower));
                let ratio = _mm256_div_ps(all, _mm256_cvtepi32_ps(by));
                // Two roundings, of less than 1 together: it may be one too few, or one too many.
                let near = _mm256_cvttps_epi32(ratio);
                let left = _mm256_sub_epi32(a, _mm256_mullo_epi32(near, by));
                let many = _mm256_srai_epi32::<31>(left);
                let near = _mm256_add_epi32(near, many);
                let left = _mm256_add_epi32(left, _mm256_and_si256(many, by));
                let enough = _mm256_cmpgt_epi32(by, left);
                let few = _mm256_andnot_si256(enough, _mm256_set1_epi32(1));
                quotient.0[part] = _mm256_add_epi32(near, few);
                rest.0[part] = _mm256_sub_epi32(left, _mm256_andnot_si256(enough, by));
            }
        }
        (quotient, rest)
    }

    #[inline(always)]
    fn refill(self, mut states: Wide, mask: Wide, words: &mut Window) -> Wide {
        let next = words.peek();
        let mut taken = 0;
        for (state, mask) in states.0.iter_mut().zip(mask.0) {
            // SAFETY: of 128 bytes 16 are read, which begin after at most 8 words for each part before.
            let part = unsafe { _mm_loadu_si128(next.as_ptr().add(2 * taken as usize).cast()) };
            *state = refill(*state, mask, part, &mut taken);
        }
        words.take(taken);
        states
    }

    #[inline(always)]
    fn give(self, states: Wide, mask: Wide, output: &mut Output) -> Wide {
        for part in (0..8).rev() {
            give(states.0[part], mask.0[part], output);
        }
        // SAFETY: see above.
        Wide::each(|part| unsafe {
            let shifted = _mm256_srli_epi32::<16>(states.0[part]);
            _mm256_blendv_epi8(states.0[part], shifted, mask.0[part])
        })
    }
}

#[inline(always)]
fn linear(a: [__m256i; 3], b: [__m256i; 3], weights: [i32; 3]) -> __m256i {
    // SAFETY: see above.
    unsafe {
        let low = sum(
            _mm256_unpacklo_epi16(a[0], b[0]),
            _mm256_unpacklo_epi16(a[1], b[1]),
            _mm256_unpacklo_epi16(a[2], b[2]),
            weights,
        );
        let high = sum(
            _mm256_unpackhi_epi16(a[0], b[0]),
            _mm256_unpackhi_epi16(a[1], b[1]),
            _mm256_unpackhi_epi16(a[2], b[2]),
            weights,
        );
        _mm256_packs_epi32(low, high)
    }
}

#[inline(always)]
fn sum(a: __m256i, b: __m256i, c: __m256i, weights: [i32; 3]) -> __m256i {
    // SAFETY: see above.
    unsafe {
        let a = _mm256_madd_epi16(a, _mm256_set1_epi32(weights[0]));
        let b = _mm256_madd_epi16(b, _mm256_set1_epi32(weights[1]));
        let c = _mm256_madd_epi16(c, _mm256_set1_epi32(weights[2]));
        let half = _mm256_set1_epi32(1 << (WEIGHT_BITS - 1));
        let sum = _mm256_add_epi32(_mm256_add_epi32(b, c), _mm256_add_epi32(a, half));
        _mm256_srai_epi32::<{ WEIGHT_BITS as _ }>(sum)
    }
}

#[inline(always)]
fn above([a, b]: [__m256i; 2], than: i16) -> u32 {
    // SAFETY: see above.
    unsafe {
        let than = _mm256_set1_epi16(than);
        let (a, b) = (_mm256_cmpgt_epi16(a, than), _mm256_cmpgt_epi16(b, than));
        let lanes = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi16(a, b));
        _mm256_movemask_epi8(lanes) as u32
    }
}

#[inline(always)]
fn refill(state: __m256i, mask: __m256i, words: __m128i, taken: &mut u32) -> __m256i {
    // SAFETY: 8 bytes are read from 8; 8 bits index 256 entries.
    unsafe {
        let bits = _mm256_movemask_ps(_mm256_castsi256_ps(mask));
        *taken += bits.count_ones();
        let order = _mm_loadl_epi64(EXPAND[bits as usize & 0xff].as_ptr().cast());
        let next = _mm256_cvtepu16_epi32(words);
        let next = _mm256_permutevar8x32_epi32(next, _mm256_cvtepu8_epi32(order));
        let filled = _mm256_or_si256(_mm256_slli_epi32::<16>(state), next);
        _mm256_blendv_epi8(state, filled, mask)
    }
}

#[inline(always)]
fn give(state: __m256i, mask: __m256i, output: &mut Output) {
    // SAFETY: see above.
    let bits = unsafe { _mm256_movemask_ps(_mm256_castsi256_ps(mask)) };
    if let Some(to) = output.next::<8>(bits.count_ones()) {
        // SAFETY: 8 bytes are read from 8, 16 written to 16; 8 bits index 256 entries.
        unsafe {
            let order = _mm_loadl_epi64(COMPRESS[bits as usize & 0xff].as_ptr().cast());
            let given = _mm256_permutevar8x32_epi32(state, _mm256_cvtepu8_epi32(order));
            let given = _mm256_and_si256(given, _mm256_set1_epi32(0xffff));
            let low = _mm256_castsi256_si128(given);
            let packed = _mm_packus_epi32(low, _mm256_extracti128_si256::<1>(given));
            _mm_storeu_si128(to.as_mut_ptr().cast(), packed);
        }
    }
}

/// For each mask of 8 lanes: which word each lane takes.
static EXPAND: [[u8; 8]; 256] = expand();

/// For each mask of 8 lanes: its lanes, the last first.
static COMPRESS: [[u8; 8]; 256] = compress();

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

const fn compress() -> [[u8; 8]; 256] {
    let mut table = [[0; 8]; 256];
    let mut mask = 0;
    while mask < 256 {
        let (mut lane, mut word) = (8, 0);
        while lane > 0 {
            lane -= 1;
            if mask >> lane & 1 == 1 {
                table[mask][word] = lane as u8;
                word += 1;
            }
        }
        mask += 1;
    }
    table
}
