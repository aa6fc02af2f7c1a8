//! Hashes: BLAKE3 names blobs and data sets, CRC-32C guards stored bytes.

/// An incremental BLAKE3.
pub use blake3::Hasher;
use crc_fast::{CrcAlgorithm, Digest};

/// The BLAKE3 digest of `data`.
pub fn blake3(data: &[u8]) -> [u8; 32] {
    *blake3::hash(data).as_bytes()
}

/// The CRC-32C (Castagnoli) of `data`, continuing from the CRC of what stands before it.
pub fn crc32c(data: &[u8], seed: u32) -> u32 {
    let mut digest = Digest::new_with_init_state(CrcAlgorithm::Crc32Iscsi, u64::from(!seed));
    digest.update(data);
    digest.finalize() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_known_answers() {
        // RFC 3720 B.4.
        assert_eq!(crc32c(&[0; 32], 0), 0x8a91_36aa);
        assert_eq!(crc32c(b"123456789", 0), 0xe306_9283);
        assert_eq!(crc32c(b"56789", crc32c(b"1234", 0)), 0xe306_9283);
        assert_eq!(crc32c(b"", 0xe306_9283), 0xe306_9283);
    }

    #[test]
    fn crc_by_definition_at_each_length_and_place() {
        let data: Vec<u8> = (0..6000_u32).map(|i| ((i * i) >> 3) as u8).collect();
        let bits = |crc: u32, byte: &u8| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg())
            })
        };
        for (start, step) in [(0, 1), (1, 7), (13, 64), (3, 511)] {
            for stop in (start..data.len()).step_by(step * 3) {
                let (part, seed) = (&data[start..stop], (stop * 0x9e37_79b1) as u32);
                let wanted = !part.iter().fold(!seed, bits);
                assert_eq!(crc32c(part, seed), wanted, "[{start}, {stop})");
            }
        }
    }

    #[test]
    fn blake3_of_nothing() {
        assert_eq!(blake3(b"")[..4], [0xaf, 0x13, 0x49, 0xb9]);
    }
}
