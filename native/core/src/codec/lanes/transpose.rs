//! A block of steps of 32 lanes, turned into 32 runs of samples.

use super::super::order::BLOCK;
use super::LANES;

/// Turn `steps[step][lane]` into `runs[lane][step]`.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(in super::super) fn transpose(steps: &[[u16; LANES]; BLOCK]) -> [[u16; BLOCK]; LANES] {
    use std::arch::x86_64::*;

    let mut runs = [[0; BLOCK]; LANES];
    for tile in 0..LANES / 8 * (BLOCK / 8) {
        let (first, begin) = (tile % (LANES / 8) * 8, tile / (LANES / 8) * 8);
        // SAFETY: SSE2 is part of x86-64; 8 lanes from `first` are within each step, and 8 steps
        // from `begin` within each run.
        unsafe {
            let row = |step: usize| _mm_loadu_si128(steps[begin + step].as_ptr().add(first).cast());
            let (a, b) = (
                _mm_unpacklo_epi16(row(0), row(1)),
                _mm_unpackhi_epi16(row(0), row(1)),
            );
            let (c, d) = (
                _mm_unpacklo_epi16(row(2), row(3)),
                _mm_unpackhi_epi16(row(2), row(3)),
            );
            let (e, f) = (
                _mm_unpacklo_epi16(row(4), row(5)),
                _mm_unpackhi_epi16(row(4), row(5)),
            );
            let (g, h) = (
                _mm_unpacklo_epi16(row(6), row(7)),
                _mm_unpackhi_epi16(row(6), row(7)),
            );
            let (i, j) = (_mm_unpacklo_epi32(a, c), _mm_unpackhi_epi32(a, c));
            let (k, l) = (_mm_unpacklo_epi32(b, d), _mm_unpackhi_epi32(b, d));
            let (m, n) = (_mm_unpacklo_epi32(e, g), _mm_unpackhi_epi32(e, g));
            let (o, p) = (_mm_unpacklo_epi32(f, h), _mm_unpackhi_epi32(f, h));
            let turned = [
                _mm_unpacklo_epi64(i, m),
                _mm_unpackhi_epi64(i, m),
                _mm_unpacklo_epi64(j, n),
                _mm_unpackhi_epi64(j, n),
                _mm_unpacklo_epi64(k, o),
                _mm_unpackhi_epi64(k, o),
                _mm_unpacklo_epi64(l, p),
                _mm_unpackhi_epi64(l, p),
            ];
            for (run, turned) in runs[first..first + 8].iter_mut().zip(turned) {
                _mm_storeu_si128(run.as_mut_ptr().add(begin).cast(), turned);
            }
        }
    }
    runs
}

/// Turn `steps[step][lane]` into `runs[lane][step]`.
#[cfg(not(target_arch = "x86_64"))]
pub(in super::super) fn transpose(steps: &[[u16; LANES]; BLOCK]) -> [[u16; BLOCK]; LANES] {
    std::array::from_fn(|lane| std::array::from_fn(|step| steps[step][lane]))
}

/// Write a run of samples, each xor `flip`, as little-endian words.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(in super::super) fn store_run(run: &[u16; BLOCK], flip: u16, to: &mut [u8; 2 * BLOCK]) {
    use std::arch::x86_64::*;

    for at in (0..BLOCK).step_by(8) {
        // SAFETY: SSE2 is part of x86-64; 8 samples from `at` are within both.
        unsafe {
            let run = _mm_loadu_si128(run.as_ptr().add(at).cast());
            let flipped = _mm_xor_si128(run, _mm_set1_epi16(flip as i16));
            _mm_storeu_si128(to.as_mut_ptr().add(2 * at).cast(), flipped);
        }
    }
}

/// Write a run of samples, each xor `flip`, as little-endian words.
#[cfg(not(target_arch = "x86_64"))]
pub(in super::super) fn store_run(run: &[u16; BLOCK], flip: u16, to: &mut [u8; 2 * BLOCK]) {
    for (to, sample) in to.chunks_exact_mut(2).zip(run) {
        to.copy_from_slice(&(sample ^ flip).to_le_bytes());
    }
}
