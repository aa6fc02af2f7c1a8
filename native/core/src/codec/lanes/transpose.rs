//! Steps of lanes, turned into runs of samples, 8 by 8.

/// Eight registers of eight samples.
#[cfg(target_arch = "x86_64")]
pub(in super::super) type Register = std::arch::x86_64::__m128i;
#[cfg(not(target_arch = "x86_64"))]
pub(in super::super) type Register = [u16; 8];

/// Eight runs of eight samples.
type Tile = [Register; 8];

/// Eight samples in a row.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn load(samples: &[u16; 8]) -> Register {
    // SAFETY: SSE2 is part of x86-64; 16 bytes are read from 16.
    unsafe { std::arch::x86_64::_mm_loadu_si128(samples.as_ptr().cast()) }
}

/// Eight samples in a row.
#[cfg(not(target_arch = "x86_64"))]
fn load(samples: &[u16; 8]) -> Register {
    *samples
}

/// Turn rows into columns: the `i`-th of what `row(j)` has becomes the `j`-th of the `i`-th.
#[inline(always)]
pub(in super::super) fn load_tile<'a>(row: impl Fn(usize) -> &'a [u16; 8]) -> [Register; 8] {
    turn([
        load(row(0)),
        load(row(1)),
        load(row(2)),
        load(row(3)),
        load(row(4)),
        load(row(5)),
        load(row(6)),
        load(row(7)),
    ])
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn turn(r: Tile) -> Tile {
    use std::arch::x86_64::*;

    // SAFETY: SSE2 is part of x86-64.
    unsafe {
        let (a, b) = (
            _mm_unpacklo_epi16(r[0], r[1]),
            _mm_unpackhi_epi16(r[0], r[1]),
        );
        let (c, d) = (
            _mm_unpacklo_epi16(r[2], r[3]),
            _mm_unpackhi_epi16(r[2], r[3]),
        );
        let (e, f) = (
            _mm_unpacklo_epi16(r[4], r[5]),
            _mm_unpackhi_epi16(r[4], r[5]),
        );
        let (g, h) = (
            _mm_unpacklo_epi16(r[6], r[7]),
            _mm_unpackhi_epi16(r[6], r[7]),
        );
        let (i, j) = (_mm_unpacklo_epi32(a, c), _mm_unpackhi_epi32(a, c));
        let (k, l) = (_mm_unpacklo_epi32(b, d), _mm_unpackhi_epi32(b, d));
        let (m, n) = (_mm_unpacklo_epi32(e, g), _mm_unpackhi_epi32(e, g));
        let (o, p) = (_mm_unpacklo_epi32(f, h), _mm_unpackhi_epi32(f, h));
        [
            _mm_unpacklo_epi64(i, m),
            _mm_unpackhi_epi64(i, m),
            _mm_unpacklo_epi64(j, n),
            _mm_unpackhi_epi64(j, n),
            _mm_unpacklo_epi64(k, o),
            _mm_unpackhi_epi64(k, o),
            _mm_unpacklo_epi64(l, p),
            _mm_unpackhi_epi64(l, p),
        ]
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn turn(rows: Tile) -> Tile {
    std::array::from_fn(|i| std::array::from_fn(|j| rows[j][i]))
}

/// Write a run of samples, each xor `flip`, as little-endian words.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(in super::super) fn store_run(run: Register, flip: u16, to: &mut [u8; 16]) {
    use std::arch::x86_64::*;

    // SAFETY: SSE2 is part of x86-64; 16 bytes are written to 16.
    unsafe {
        let flipped = _mm_xor_si128(run, _mm_set1_epi16(flip as i16));
        _mm_storeu_si128(to.as_mut_ptr().cast(), flipped);
    }
}

/// Write a run of samples, each xor `flip`, as little-endian words.
#[cfg(not(target_arch = "x86_64"))]
pub(in super::super) fn store_run(run: Register, flip: u16, to: &mut [u8; 16]) {
    for (to, sample) in to.chunks_exact_mut(2).zip(run) {
        to.copy_from_slice(&(sample ^ flip).to_le_bytes());
    }
}

/// Write a run of samples below 256 as bytes.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(in super::super) fn pack_run(run: Register, to: &mut [u8; 8]) {
    use std::arch::x86_64::*;

    // SAFETY: SSE2 is part of x86-64; 8 bytes are written to 8.
    unsafe { _mm_storel_epi64(to.as_mut_ptr().cast(), _mm_packus_epi16(run, run)) };
}

/// Write a run of samples below 256 as bytes.
#[cfg(not(target_arch = "x86_64"))]
pub(in super::super) fn pack_run(run: Register, to: &mut [u8; 8]) {
    for (to, sample) in to.iter_mut().zip(run) {
        *to = sample as u8;
    }
}

/// Write a run of samples.
#[inline(always)]
pub(in super::super) fn store_tile(run: Register, to: &mut [u16; 8]) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE2 is part of x86-64; 16 bytes are written to 16.
    unsafe {
        std::arch::x86_64::_mm_storeu_si128(to.as_mut_ptr().cast(), run);
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        *to = run;
    }
}
