//! Any bytes are a coded chunk or are not, and every machine says and writes the same; any bytes come
//! back from being coded in any geometry. The first bytes say which, and how long the chunk is.
use vna_core::codec::{Form, Geometry, Machine, decode_on, encode, encode_on};

use crate::machines::same_everywhere;

/// Take `data`; panic where that is not as it should be.
pub fn check(data: &[u8]) {
    let [
        what,
        length,
        columns,
        sample_bytes,
        pixel_samples,
        bytes @ ..,
    ] = data
    else {
        return;
    };
    let length = usize::from(*length) * 64 + usize::from(what >> 2);
    if what & 1 == 0 {
        same_everywhere(decode_on, bytes, length);
        return;
    }
    let geometry = Geometry {
        columns: u16::from(*columns),
        sample_bytes: *sample_bytes,
        pixel_samples: *pixel_samples,
    };
    let form = if what & 2 == 0 {
        Form::Fast
    } else {
        Form::Strong
    };
    let stored = encode(bytes, geometry, form);
    assert!(Machine::here().all(|machine| encode_on(machine, bytes, geometry, form) == stored));
    if let Some(stored) = stored {
        assert!(same_everywhere(decode_on, &stored, bytes.len()).as_deref() == Some(bytes));
    }
}
