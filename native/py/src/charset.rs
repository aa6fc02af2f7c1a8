//! Text in a Specific Character Set.

use pyo3::prelude::*;
use vna_core::charset::{self, Charsets};
use vna_core::element::Vr;

use crate::buffer::Bytes;

#[pyfunction]
fn decode_text(raw: Bytes, vr: &str, character_set: Bytes) -> String {
    let vr = vr.as_bytes().try_into().map_or(Vr::UN, Vr);
    let charsets = Charsets::from_element(character_set.as_slice());
    charset::decode_text(raw.as_slice(), vr, &charsets).into_owned()
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(decode_text, module)?)
}
