//! Any bytes are a coded chunk or are not, and every machine says and writes the same; any bytes come
//! back from being coded in rows of any length. The first bytes say which, and how long the chunk is.
use vna_core::codec::Machine;
use vna_core::codec::weave::{decode_on, encode, encode_on};

use crate::machines::same_everywhere;

/// Take `data`; panic where that is not as it should be.
pub fn check(data: &[u8]) {
    let [what, length, columns, bytes @ ..] = data else {
        return;
    };
    if what & 1 == 0 {
        same_everywhere(
            decode_on,
            bytes,
            usize::from(*length) * 64 + usize::from(what >> 1),
        );
        return;
    }
    let columns = u16::from(*columns) << (what >> 1 & 1);
    let stored = encode(bytes, columns);
    assert!(Machine::here().all(|machine| encode_on(machine, bytes, columns) == stored));
    if let Some(stored) = stored {
        assert!(same_everywhere(decode_on, &stored, bytes.len()).as_deref() == Some(bytes));
    }
}
