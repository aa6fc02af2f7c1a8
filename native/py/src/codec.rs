//! The codec `lanes`.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use vna_core::codec::{self, Form, Geometry};

use crate::buffer::{Bytes, released};
use crate::loan::made;

/// Most bytes of a chunk, and so of what is allocated for one: the pack format's.
const MAX_CHUNK: usize = 1 << 26;

#[pyfunction]
fn lanes_encode<'py>(
    py: Python<'py>,
    raw: Bytes,
    columns: u16,
    sample_bytes: u8,
    pixel_samples: u8,
    strong: bool,
) -> Option<Bound<'py, PyBytes>> {
    let raw = raw.as_slice();
    let geometry = Geometry {
        columns,
        sample_bytes,
        pixel_samples,
    };
    let form = if strong { Form::Strong } else { Form::Fast };
    let stored = released(py, raw.len(), || codec::encode(raw, geometry, form))?;
    Some(PyBytes::new(py, &stored))
}

#[pyfunction]
fn lanes_decode<'py>(py: Python<'py>, stored: Bytes, length: usize) -> PyResult<Bound<'py, PyAny>> {
    if length > MAX_CHUNK {
        return Err(PyValueError::new_err("no chunk is so long"));
    }
    let stored = stored.as_slice();
    made(py, length, |raw| {
        released(py, length, || codec::decode(stored, raw))
            .map_err(|invalid| PyValueError::new_err(invalid.to_string()))
    })
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(lanes_encode, module)?)?;
    module.add_function(wrap_pyfunction!(lanes_decode, module)?)
}
