//! Where frames are: the frame table of native and encapsulated pixel data (PS3.5 8.2, A.4).

/// Extended Offset Table (PS3.3 C.7.6.3.1.8).
pub const EXTENDED_OFFSETS: u32 = 0x7FE0_0001;
/// Float Pixel Data.
pub const FLOAT_PIXEL_DATA: u32 = 0x7FE0_0008;
/// Double Float Pixel Data.
pub const DOUBLE_PIXEL_DATA: u32 = 0x7FE0_0009;
/// Pixel Data.
pub const PIXEL_DATA: u32 = crate::dictionary::PIXEL_DATA;

/// Chunk length of values that are compressed already.
pub const COMPRESSED_CHUNK: u64 = 65_536;
const SMALL_FRAME: u64 = 16 << 10;
const LARGE_FRAME: u64 = 16 << 20;
const LARGE_CHUNK: u64 = 4 << 20;

/// What a data set says about its pixel data.
#[derive(Clone, Debug)]
pub struct Image {
    /// Rows, 0 when missing.
    pub rows: u64,
    /// Columns, 0 when missing.
    pub columns: u64,
    /// Samples per Pixel.
    pub samples: u64,
    /// Bits Allocated, 0 when missing.
    pub bits_allocated: u64,
    /// Photometric Interpretation has chrominance at half the rate: YBR_FULL_422 and its like.
    pub halved_chrominance: bool,
    /// Number of Frames: 1 when missing, None when unreadable.
    pub frames: Option<u64>,
}

impl Default for Image {
    fn default() -> Self {
        Image {
            rows: 0,
            columns: 0,
            samples: 1,
            bits_allocated: 0,
            halved_chrominance: false,
            frames: Some(1),
        }
    }
}

impl Image {
    /// Read Number of Frames; empty and zero are 1, as readers have it.
    pub fn set_frames(&mut self, text: &str) {
        let text = text.trim_matches([' ', '\0']);
        self.frames = match text.parse::<f64>() {
            _ if text.is_empty() => Some(1),
            Ok(number) if number.fract() == 0.0 && (0.0..4e15).contains(&number) => {
                Some((number as u64).max(1))
            }
            _ => None,
        };
    }

    /// The size of one native frame in bits, for pixel data of `length` bytes under `tag`.
    ///
    /// Data under a subsampled photometric interpretation count as such only when they are too
    /// short to be complete: some writers leave the interpretation of the compressed original.
    fn frame_bits(&self, tag: u32, length: u64) -> Option<u64> {
        let bits = match tag {
            FLOAT_PIXEL_DATA => 32,
            DOUBLE_PIXEL_DATA => 64,
            _ => self.bits_allocated,
        };
        let pixels = self.rows.checked_mul(self.columns)?;
        let full = pixels.checked_mul(self.samples.max(1))?.checked_mul(bits)?;
        let subsampled = pixels.checked_mul(2)?.checked_mul(bits)?;
        let total = full.checked_mul(self.frames.unwrap_or(1))?;
        let short = length.checked_mul(8)? < total;
        let halved = self.halved_chrominance && self.samples == 3 && short;
        Some(if halved { subsampled } else { full }).filter(|&bits| bits > 0)
    }

    /// Tell the native frames of pixel data of `length` bytes apart; `(count, bits per frame)`.
    /// None when they do not fit, or their number is unreadable and not evidently one.
    pub fn native_frames(&self, tag: u32, length: u64) -> Option<(u64, u64)> {
        let frame = self.frame_bits(tag, length)?;
        let available = length.checked_mul(8)? / frame;
        match self.frames {
            Some(count) => (count <= available).then_some((count, frame)),
            None => (available == 1).then_some((1, frame)),
        }
    }

    /// The length in which native pixel data of `length` bytes are best chunked: a frame where
    /// that is neither tiny nor huge, so that one frame is one read.
    pub fn chunk_length(&self, tag: u32, length: u64) -> u64 {
        match self.frame_bits(tag, length) {
            Some(bits) if bits % 8 == 0 && bits / 8 <= LARGE_FRAME => {
                let frame = bits / 8;
                if frame >= SMALL_FRAME {
                    frame
                } else {
                    frame * COMPRESSED_CHUNK.div_ceil(frame)
                }
            }
            _ => LARGE_CHUNK,
        }
    }
}

/// The length in which other bulk values are chunked.
pub fn plain_chunk_length(length: u64) -> u64 {
    length.min(LARGE_CHUNK)
}

/// The items of encapsulated pixel data, as found in the value (PS3.5 A.4).
#[derive(Clone, Debug, Default)]
pub struct Items {
    /// Where each fragment's item begins in the value, ascending; [`ENDS_IMAGE`] is set where the
    /// fragment ends with an end of image marker.
    pub fragments: Vec<u64>,
    /// Where the sequence delimitation item begins, or the value ends.
    pub end: u64,
    /// The Basic Offset Table.
    pub basic_offsets: Vec<u32>,
}

/// Set in [`Items::fragments`] where a fragment's last bytes hold FFD9: the end of a JPEG,
/// JPEG-LS or JPEG 2000 image.
pub const ENDS_IMAGE: u64 = 1 << 63;

impl Items {
    /// Tell the frames apart: `frames + 1` offsets into the value, the last one the end of the
    /// last frame. None when that cannot be known.
    ///
    /// `count` is the Number of Frames, None when unreadable. An offset table that agrees with
    /// the items and the count decides; then the items and the count alone; then a table that
    /// agrees at least with the items.
    pub fn frame_offsets(&self, count: Option<u64>, extended_offsets: &[u64]) -> Option<Vec<u64>> {
        let basic = || self.basic_offsets.iter().map(|&offset| u64::from(offset));
        let extended = || extended_offsets.iter().copied();
        let agrees = |offsets: &Vec<u64>| count == Some(offsets.len() as u64 - 1);
        (self.by_table(extended()).filter(agrees))
            .or_else(|| self.by_table(basic()).filter(agrees))
            .or_else(|| self.by_count(count))
            .or_else(|| self.by_table(extended()))
            .or_else(|| self.by_table(basic()))
    }

    /// Follow an offset table, if each entry is the place of a fragment's item, ascending from
    /// the first one.
    fn by_table(&self, table: impl Iterator<Item = u64>) -> Option<Vec<u64>> {
        let first = self.fragments.first()? & !ENDS_IMAGE;
        let mut fragments = self.fragments.iter().map(|place| place & !ENDS_IMAGE);
        let mut offsets = Vec::new();
        for entry in table {
            let place = first.checked_add(entry)?;
            if offsets.is_empty() && place != first {
                return None;
            }
            fragments
                .find(|&fragment| fragment >= place)
                .filter(|&found| found == place)?;
            offsets.push(place);
        }
        if offsets.is_empty() {
            return None;
        }
        offsets.push(self.end);
        Some(offsets)
    }

    /// Deal the fragments out to `count` frames: one each, all to a single one, or as the end of
    /// image markers say. A single fragment is a single frame whatever the count.
    fn by_count(&self, count: Option<u64>) -> Option<Vec<u64>> {
        let fragments = self.fragments.len() as u64;
        let places = self.fragments.iter().map(|place| place & !ENDS_IMAGE);
        let mut offsets: Vec<u64> = match count {
            _ if fragments <= 1 => places.collect(),
            Some(count) if count == fragments => places.collect(),
            Some(1) => places.take(1).collect(),
            Some(count) if count < fragments => {
                let ends = self.fragments.iter().map(|place| place & ENDS_IMAGE != 0);
                let after_end = std::iter::once(true).chain(ends);
                let begins = places.zip(after_end).filter(|&(_, begins)| begins);
                let offsets: Vec<u64> = begins.map(|(place, _)| place).collect();
                if offsets.len() as u64 != count {
                    return None;
                }
                offsets
            }
            _ => return None,
        };
        if offsets.is_empty() {
            return None;
        }
        offsets.push(self.end);
        Some(offsets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(rows: u64, columns: u64, samples: u64, bits: u64, frames: &str) -> Image {
        let mut image = Image {
            rows,
            columns,
            samples,
            bits_allocated: bits,
            ..Image::default()
        };
        image.set_frames(frames);
        image
    }

    fn items(fragments: &[u64], end: u64, basic_offsets: &[u32]) -> Items {
        Items {
            fragments: fragments.to_vec(),
            end,
            basic_offsets: basic_offsets.to_vec(),
        }
    }

    #[test]
    fn number_of_frames() {
        for (text, frames) in [
            ("", Some(1)),
            (" 3 ", Some(3)),
            ("0", Some(1)),
            ("2.0", Some(2)),
            ("1A", None),
            ("-1", None),
            ("nan", None),
        ] {
            assert_eq!(image(1, 1, 1, 8, text).frames, frames, "{text:?}");
        }
    }

    #[test]
    fn native() {
        assert_eq!(
            image(2, 3, 1, 16, "2").native_frames(PIXEL_DATA, 24),
            Some((2, 96))
        );
        assert_eq!(image(2, 3, 1, 16, "2").native_frames(PIXEL_DATA, 23), None);
        assert_eq!(
            image(3, 3, 1, 1, "3").native_frames(PIXEL_DATA, 4),
            Some((3, 9))
        );
        assert_eq!(
            image(2, 2, 1, 0, "1").native_frames(FLOAT_PIXEL_DATA, 16),
            Some((1, 128))
        );
        assert_eq!(
            image(2, 2, 1, 0, "1").native_frames(DOUBLE_PIXEL_DATA, 32),
            Some((1, 256))
        );
        assert_eq!(
            image(2, 2, 1, 8, "1A").native_frames(PIXEL_DATA, 4),
            Some((1, 32))
        );
        assert_eq!(image(2, 2, 1, 8, "1A").native_frames(PIXEL_DATA, 8), None);
        assert_eq!(image(0, 2, 1, 8, "1").native_frames(PIXEL_DATA, 8), None);
        let huge = image(65535, 65535, 65535, 65535, "4000000000000");
        assert_eq!(huge.native_frames(PIXEL_DATA, u64::MAX), None);
    }

    #[test]
    fn subsampled() {
        let halved = |frames| Image {
            halved_chrominance: true,
            ..image(2, 2, 3, 8, frames)
        };
        assert_eq!(halved("2").native_frames(PIXEL_DATA, 16), Some((2, 64)));
        assert_eq!(halved("2").native_frames(PIXEL_DATA, 24), Some((2, 96)));
    }

    #[test]
    fn chunks() {
        assert_eq!(
            image(512, 512, 1, 16, "").chunk_length(PIXEL_DATA, 524_288),
            524_288
        );
        assert_eq!(
            image(10, 10, 1, 16, "9").chunk_length(PIXEL_DATA, 1800),
            200 * 328
        );
        assert_eq!(
            image(30_000, 3000, 3, 8, "").chunk_length(PIXEL_DATA, 1),
            LARGE_CHUNK
        );
        assert_eq!(
            image(3, 3, 1, 1, "3").chunk_length(PIXEL_DATA, 4),
            LARGE_CHUNK
        );
        assert_eq!(Image::default().chunk_length(PIXEL_DATA, 4), LARGE_CHUNK);
    }

    #[test]
    fn tables() {
        let two = items(&[8, 28, 48], 68, &[0, 20]);
        assert_eq!(two.frame_offsets(Some(2), &[]), Some(vec![8, 28, 68]));
        assert_eq!(
            two.frame_offsets(Some(3), &[0, 20, 40]),
            Some(vec![8, 28, 48, 68])
        );
        assert_eq!(two.frame_offsets(None, &[]), Some(vec![8, 28, 68]));
        assert_eq!(
            items(&[8, 28], 48, &[0, 21]).frame_offsets(Some(2), &[]),
            Some(vec![8, 28, 48])
        );
        assert_eq!(
            items(&[8, 28], 48, &[0, 0]).frame_offsets(Some(2), &[]),
            Some(vec![8, 28, 48])
        );
        assert_eq!(two.frame_offsets(None, &[u64::MAX]), Some(vec![8, 28, 68]));
    }

    #[test]
    fn counts() {
        assert_eq!(
            items(&[8], 28, &[]).frame_offsets(Some(50), &[]),
            Some(vec![8, 28])
        );
        assert_eq!(
            items(&[8, 28], 48, &[]).frame_offsets(Some(2), &[]),
            Some(vec![8, 28, 48])
        );
        assert_eq!(
            items(&[8, 28], 48, &[]).frame_offsets(Some(1), &[]),
            Some(vec![8, 48])
        );
        assert_eq!(items(&[8, 28], 48, &[]).frame_offsets(None, &[]), None);
        assert_eq!(items(&[8, 28], 48, &[]).frame_offsets(Some(3), &[]), None);
        assert_eq!(items(&[], 8, &[]).frame_offsets(Some(1), &[]), None);
    }

    #[test]
    fn image_ends() {
        let marked = items(&[8, 28 | ENDS_IMAGE, 48 | ENDS_IMAGE], 68, &[]);
        assert_eq!(marked.frame_offsets(Some(2), &[]), Some(vec![8, 48, 68]));
        let unmarked_last = items(&[8 | ENDS_IMAGE, 28, 48], 68, &[]);
        assert_eq!(
            unmarked_last.frame_offsets(Some(2), &[]),
            Some(vec![8, 28, 68])
        );
        assert_eq!(
            items(&[8, 28, 48], 68, &[]).frame_offsets(Some(2), &[]),
            None
        );
    }
}
