//! The codecs of pixels, `lanes` and `weave`.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use vna_core::codec::{self, Form, Geometry, Invalid, weave};

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
    decoded(py, stored, length, codec::decode)
}

#[pyfunction]
fn roughness(py: Python<'_>, raw: Bytes, columns: u16) -> f32 {
    let raw = raw.as_slice();
    released(py, raw.len() / 16, || codec::roughness(raw, columns))
}

#[pyfunction]
fn weave_encode<'py>(py: Python<'py>, raw: Bytes, columns: u16) -> Option<Bound<'py, PyBytes>> {
    let raw = raw.as_slice();
    let stored = released(py, raw.len(), || weave::encode(raw, columns))?;
    Some(PyBytes::new(py, &stored))
}

#[pyfunction]
fn weave_decode<'py>(py: Python<'py>, stored: Bytes, length: usize) -> PyResult<Bound<'py, PyAny>> {
    decoded(py, stored, length, weave::decode)
}

fn decoded<'py>(
    py: Python<'py>,
    stored: Bytes,
    length: usize,
    decode: fn(&[u8], &mut [u8]) -> Result<(), Invalid>,
) -> PyResult<Bound<'py, PyAny>> {
    if length > MAX_CHUNK {
        return Err(PyValueError::new_err("no chunk is so long"));
    }
    let stored = stored.as_slice();
    made(py, length, |raw| {
        released(py, length, || decode(stored, raw))
            .map_err(|invalid| PyValueError::new_err(invalid.to_string()))
    })
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(lanes_encode, module)?)?;
    module.add_function(wrap_pyfunction!(lanes_decode, module)?)?;
    module.add_function(wrap_pyfunction!(roughness, module)?)?;
    module.add_function(wrap_pyfunction!(weave_encode, module)?)?;
    module.add_function(wrap_pyfunction!(weave_decode, module)?)
}
