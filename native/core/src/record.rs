//! Records of packs (docs/format/pack.md), as far as it pays to write and read them here: what is
//! made for each record that is appended, and a small blob that is stored as it is. All else, damage
//! included, is left to who knows the whole format.

use std::ops::Range;

use crate::hash::crc32c;

const MAGIC: &[u8] = b"VNAR";
const VERSION: u8 = 1;
const TABLE_LAST: u16 = 1;
const RAW: u8 = 0;
const MAX_STRIDE: u32 = 64 << 20;
/// Bytes of the record header; of them the CRC comes last.
pub const HEADER: usize = 96;
/// Bytes of an entry of the chunk table; of them the CRC comes last.
const ENTRY: usize = 16;
const CRC: usize = 4;

/// What the header of a record says before its CRC, magic aside.
#[derive(Clone, Copy, Debug)]
pub struct Front {
    /// Version of the format.
    pub version: u8,
    /// What the record is.
    pub kind: u8,
    /// Where its table is.
    pub flags: u16,
    /// Bytes of the whole record, of its chunks as they are stored, and of what they hold.
    pub sizes: [u64; 3],
    /// Bytes of a chunk but the last, and how many there are.
    pub chunks: [u32; 2],
    /// The name of the blob.
    pub digest: [u8; 32],
}

impl Front {
    /// The header's bytes for a record at `offset` of `pack`, of which `synced` bytes were durable
    /// before.
    pub fn placed(&self, pack: u64, offset: u64, synced: u64) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        header[..4].copy_from_slice(MAGIC);
        (header[4], header[5]) = (self.version, self.kind);
        header[6..8].copy_from_slice(&self.flags.to_le_bytes());
        for (field, size) in header[8..32].chunks_exact_mut(8).zip(self.sizes) {
            field.copy_from_slice(&size.to_le_bytes());
        }
        for (field, number) in header[32..40].chunks_exact_mut(4).zip(self.chunks) {
            field.copy_from_slice(&number.to_le_bytes());
        }
        header[40..72].copy_from_slice(&self.digest);
        header[72..80].copy_from_slice(&synced.to_le_bytes());
        let crc = crc32c(&header[..HEADER - CRC], place_sum(pack, offset));
        header[HEADER - CRC..].copy_from_slice(&crc.to_le_bytes());
        header
    }
}

/// The table entry of a chunk that ends at `end` of the payload and is stored as `parts`.
pub fn entry<'a>(end: u64, codec: u8, parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; ENTRY] {
    let mut entry = [0; ENTRY];
    entry[..8].copy_from_slice(&end.to_le_bytes());
    entry[8] = codec;
    let crc = crc32c(&entry[..ENTRY - CRC], 0);
    let crc = parts.into_iter().fold(crc, |crc, part| crc32c(part, crc));
    entry[ENTRY - CRC..].copy_from_slice(&crc.to_le_bytes());
    entry
}

/// The front and the table of a record that is one chunk, stored as it is: `parts`, together not
/// longer than `stride`.
pub fn raw<'a>(
    kind: u8,
    digest: [u8; 32],
    parts: impl Iterator<Item = &'a [u8]> + Clone,
    stride: u32,
) -> (Front, [u8; ENTRY]) {
    let length = parts.clone().map(|part| part.len() as u64).sum::<u64>();
    let size = (HEADER + ENTRY) as u64 + length.next_multiple_of(8);
    let front = Front {
        version: VERSION,
        kind,
        flags: 0,
        sizes: [size, length, length],
        chunks: [stride, 1],
        digest,
    };
    (front, entry(length, RAW, parts))
}

/// The CRC of where a record is, with which its header's CRC begins.
fn place_sum(pack: u64, offset: u64) -> u32 {
    let mut place = [0; 16];
    place[..8].copy_from_slice(&pack.to_le_bytes());
    place[8..].copy_from_slice(&offset.to_le_bytes());
    crc32c(&place, 0)
}

/// Where a blob of few chunks is that is stored as it is: its bytes lie in a row.
#[derive(Debug)]
pub struct RawChunks {
    /// Where they begin in the pack.
    pub offset: u64,
    /// Bytes of a chunk but the last.
    pub stride: u64,
    /// Bytes of them all.
    pub length: u64,
    /// What the CRC-32C of each chunk begins with, and what it then is.
    pub sums: Vec<(u32, u32)>,
}

impl RawChunks {
    /// The bytes of the blob that must be read to check bytes `[start, stop)` of it.
    pub fn around(&self, start: u64, stop: u64) -> Range<u64> {
        let begin = start.min(self.length) / self.stride * self.stride;
        let end = stop.min(self.length).next_multiple_of(self.stride);
        begin..end.min(self.length).max(begin)
    }

    /// The number of the first chunk that is not as it was written, of those that begin at byte
    /// `begin` of the blob and are `data`. Those of which `known` says so, by place and length in
    /// `data`, are not looked at.
    pub fn damaged(
        &self,
        begin: u64,
        data: &[u8],
        known: impl Fn(usize, usize) -> bool,
    ) -> Option<usize> {
        let first = usize::try_from(begin / self.stride).unwrap_or(usize::MAX);
        self.places(data.len())
            .zip(first..)
            .find(|&((at, length), number)| {
                let sum = self.sums.get(number);
                let chunk = &data[at..at + length];
                sum.is_none_or(|&(seed, crc)| !known(at, length) && crc32c(chunk, seed) != crc)
            })
            .map(|(_, number)| number)
    }

    /// Places and lengths of the chunks of `length` bytes that begin with one.
    pub fn places(&self, length: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        let stride = usize::try_from(self.stride).unwrap_or(usize::MAX);
        (0..length)
            .step_by(stride)
            .map(move |at| (at, stride.min(length - at)))
    }
}

/// The blob of a whole record at `offset` of `pack`, if it is one chunk, stored raw, and every byte
/// that says so is as it was written; None where it is anything else.
pub fn raw_blob(record: &[u8], pack: u64, offset: u64) -> Option<&[u8]> {
    let (front, crc) = record.get(..HEADER)?.split_last_chunk::<CRC>()?;
    if crc32c(front, place_sum(pack, offset)) != u32::from_le_bytes(*crc) {
        return None;
    }
    let u64_at = |at| Some(u64::from_le_bytes(*front.get(at..)?.first_chunk()?));
    let u32_at = |at| Some(u32::from_le_bytes(*front.get(at..)?.first_chunk()?));
    let (kind, flags) = (front[5], u16::from_le_bytes([front[6], front[7]]));
    let (size, stored, length) = (u64_at(8)?, u64_at(16)?, u64_at(24)?);
    let (stride, chunks) = (u32_at(32)?, u32_at(36)?);
    let known = &front[..4] == MAGIC && front[4] == VERSION && flags & !TABLE_LAST == 0;
    let one = chunks == 1 && stride <= MAX_STRIDE && 1 <= length && length <= u64::from(stride);
    if !known || !(1..=3).contains(&kind) || !one || stored != length {
        return None;
    }
    let length = usize::try_from(length).ok()?;
    let padded = length.next_multiple_of(8);
    if record.len() != HEADER + ENTRY + padded || size != record.len() as u64 {
        return None;
    }
    let (table, payload) = if flags == TABLE_LAST {
        (HEADER + padded, HEADER)
    } else {
        (HEADER, HEADER + ENTRY)
    };
    let (entry, crc) = record[table..table + ENTRY].split_last_chunk::<CRC>()?;
    let blob = &record[payload..payload + length];
    let whole = entry[..8] == stored.to_le_bytes() && entry[8] == RAW;
    let sound = crc32c(blob, crc32c(entry, 0)) == u32::from_le_bytes(*crc);
    (whole && sound).then_some(blob)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACK: u64 = 1 << 32 | 7;

    fn record(blob: &[u8], flags: u16, codec: u8) -> Vec<u8> {
        let padded = blob.len().next_multiple_of(8);
        let length = blob.len() as u64;
        let halves = blob.split_at(blob.len() / 2);
        let halves = [halves.0, halves.1];
        let (front, _) = raw(1, [9; 32], halves.into_iter(), 65536);
        let front = Front { flags, ..front }.placed(PACK, 64, 64).to_vec();
        let entry = entry(length, codec, halves).to_vec();
        let mut payload = blob.to_vec();
        payload.resize(padded, 0);
        if flags == TABLE_LAST {
            [front, payload, entry].concat()
        } else {
            [front, entry, payload].concat()
        }
    }

    #[test]
    fn a_sound_record_gives_its_blob() {
        for flags in [0, TABLE_LAST] {
            let record = record(b"abcdefghijk", flags, RAW);
            assert_eq!(raw_blob(&record, PACK, 64), Some(&b"abcdefghijk"[..]));
            assert_eq!(raw_blob(&record, PACK, 72), None);
            assert_eq!(raw_blob(&record, PACK + 1, 64), None);
            assert_eq!(raw_blob(&record[..record.len() - 1], PACK, 64), None);
        }
        assert_eq!(raw_blob(&record(b"abc", 0, 1), PACK, 64), None);
        assert_eq!(raw_blob(&record(b"", 0, RAW), PACK, 64), None);
        assert_eq!(raw_blob(b"", PACK, 64), None);
    }

    #[test]
    fn raw_chunks_know_what_to_read_and_whether_it_is_sound() {
        let blob: Vec<u8> = (0..50).collect();
        let sums = blob.chunks(20).zip(7..);
        let chunks = RawChunks {
            offset: 96,
            stride: 20,
            length: 50,
            sums: sums
                .map(|(chunk, seed)| (seed, crc32c(chunk, seed)))
                .collect(),
        };
        let none = |_, _| false;
        assert_eq!(chunks.around(0, 50), 0..50);
        assert_eq!(chunks.around(19, 21), 0..40);
        assert_eq!(chunks.around(40, 41), 40..50);
        assert_eq!(chunks.around(20, 20), 20..20);
        assert_eq!(chunks.around(60, 99), 40..50);
        assert_eq!(chunks.damaged(0, &blob, none), None);
        assert_eq!(chunks.damaged(20, &blob[20..], none), None);
        assert_eq!(chunks.damaged(20, &blob[20..49], none), Some(2));
        assert_eq!(chunks.damaged(60, &blob[..1], none), Some(3));
        for at in 0..blob.len() {
            let mut damaged = blob.clone();
            damaged[at] ^= 1;
            assert_eq!(chunks.damaged(0, &damaged, none), Some(at / 20));
            let known = |start, length| (start..start + length).contains(&at);
            assert_eq!(chunks.damaged(0, &damaged, known), None);
        }
    }

    #[test]
    fn a_changed_byte_gives_nothing() {
        let sound = record(b"abcdefgh", 0, RAW);
        for at in 0..sound.len() {
            let mut damaged = sound.clone();
            damaged[at] ^= 0x10;
            assert_eq!(raw_blob(&damaged, PACK, 64), None, "byte {at}");
        }
    }
}
