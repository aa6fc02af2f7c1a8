//! What holds of every codec of pixels.
use vna_core::codec::{Invalid, Machine};

/// A codec's decoder, on a machine of the caller's choice.
pub type Decode = fn(Machine, &[u8], &mut [u8]) -> Result<(), Invalid>;

/// Decode on every machine; return what all of them made, None where all refused.
pub fn same_everywhere(decode_on: Decode, stored: &[u8], length: usize) -> Option<Vec<u8>> {
    let decoded = |machine| {
        let mut raw = vec![0; length];
        decode_on(machine, stored, &mut raw).ok().map(|()| raw)
    };
    let mut all = Machine::here().map(decoded);
    let first = all.next().flatten();
    assert!(all.all(|other| other == first));
    first
}
