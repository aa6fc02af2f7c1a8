//! Any text in any character set decodes to something: the first byte says where the value of
//! Specific Character Set ends.
use vna_core::charset::{Charsets, decode_text};
use vna_core::element::Vr;

/// Take `data`; panic where that is not as it should be.
pub fn check(data: &[u8]) {
    let Some((&split, rest)) = data.split_first() else {
        return;
    };
    let (term, text) = rest.split_at(rest.len().min(usize::from(split)));
    let charsets = Charsets::from_element(term);
    for vr in [Vr::PN, Vr::LO, Vr::LT, Vr::CS] {
        decode_text(text, vr, &charsets);
    }
}
