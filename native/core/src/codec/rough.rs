//! How rough an image is, by a glance at some of its rows.

use super::encode::words;

/// Bytes of a sample.
const SAMPLE: usize = 2;
/// One of so many rows is looked at.
const STEP: usize = 16;

/// Return the bits of what a sample of `raw` differs by from its neighbours to the left and above, on
/// average: 0 to 17. 16-bit samples, in rows of `columns`; 0 where there are none to compare.
///
/// It grows with the bits that a codec needs for a sample, and is one or two less.
pub fn roughness(raw: &[u8], columns: u16) -> f32 {
    let width = usize::from(columns).max(1);
    let (mut bits, mut count) = (0_u32, 0_usize);
    for pair in raw.chunks_exact(2 * width * SAMPLE).step_by(STEP / 2) {
        let (above, row) = pair.split_at(width * SAMPLE);
        let west = words(row);
        let this = words(&row[SAMPLE..]);
        let north = words(&above[SAMPLE..]);
        for ((west, this), north) in west.zip(this).zip(north) {
            // Signed or not: neighbours are apart by less than half of all values.
            let apart = |other| i32::from(this.wrapping_sub(other).cast_signed());
            let missed = (apart(west) + apart(north)).unsigned_abs();
            bits += u32::BITS - missed.leading_zeros();
        }
        count += width - 1;
    }
    bits as f32 / count.max(1) as f32
}

#[cfg(test)]
mod tests {
    use super::roughness;
    use crate::codec::tests::image;

    #[test]
    fn noise_is_rougher_than_slopes_and_nothing_is_smooth() {
        let of = |noise| roughness(&image(512 * 64, 512, 2, noise), 512);
        assert_eq!(roughness(&vec![7; 512 * 64], 512), 0.0);
        assert!(of(0) < 3.0 && of(16) > of(4) && of(4) > of(0) && of(4000) > 10.0);
    }

    #[test]
    fn any_columns_and_lengths_are_taken() {
        for (length, columns) in [(0, 0), (0, 512), (7, 0), (7, 1), (4095, 512), (4097, 1)] {
            assert_eq!(roughness(&vec![7; length], columns), 0.0);
        }
    }

    #[test]
    fn signs_do_not_matter() {
        let unsigned = image(512 * 64, 512, 2, 30);
        let signed: Vec<u8> = unsigned
            .chunks_exact(2)
            .flat_map(|word| {
                (u16::from_le_bytes([word[0], word[1]]).wrapping_sub(500)).to_le_bytes()
            })
            .collect();
        assert_eq!(roughness(&unsigned, 512), roughness(&signed, 512));
    }
}
