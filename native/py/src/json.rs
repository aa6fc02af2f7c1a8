//! The DICOM JSON Model of a header.

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use vna_core::json;

use crate::buffer::{Bytes, released};

#[pyfunction]
fn dataset_json<'py>(
    py: Python<'py>,
    header: Bytes,
    start: usize,
    transfer_syntax: &str,
    holes: Vec<(u64, u64)>,
    bulk_uri: &str,
) -> Bound<'py, PyBytes> {
    let header = header.as_slice();
    let written = released(py, header.len(), || {
        json::dataset_json(header, start, transfer_syntax, &holes, bulk_uri)
    });
    PyBytes::new(py, &written)
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(dataset_json, module)?)
}
