//! Hashes: BLAKE3 names blobs and data sets, CRC-32C guards stored bytes.

/// An incremental BLAKE3.
pub use blake3::Hasher;

/// The BLAKE3 digest of `data`.
pub fn blake3(data: &[u8]) -> [u8; 32] {
    *blake3::hash(data).as_bytes()
}

/// The CRC-32C (Castagnoli) of `data`, continuing from the CRC of what stands before it.
pub fn crc32c(data: &[u8], seed: u32) -> u32 {
    crc32c::crc32c_append(seed, data)
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
    }

    #[test]
    fn blake3_of_nothing() {
        assert_eq!(blake3(b"")[..4], [0xaf, 0x13, 0x49, 0xb9]);
    }
}
