//! Records of packs.

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use vna_core::record;

use crate::buffer::Bytes;

#[pyfunction]
fn raw_blob<'py>(
    py: Python<'py>,
    record: Bytes,
    pack: u64,
    offset: u64,
) -> Option<Bound<'py, PyBytes>> {
    record::raw_blob(record.as_slice(), pack, offset).map(|blob| PyBytes::new(py, blob))
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(raw_blob, module)?)
}
