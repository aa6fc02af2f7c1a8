//! The DICOM JSON Model of a header.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyFloat, PyList, PyString};
use vna_core::json::{self, Held};

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

#[pyfunction]
fn attributes_json<'py>(
    py: Python<'py>,
    attributes: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyBytes>> {
    // What lends the texts stays here while they are written.
    let held: Vec<(u64, Vec<Bound<'py, PyAny>>)> = attributes
        .iter()
        .map(|(path, values)| {
            let values = values.cast_into::<PyList>()?;
            Ok((path.extract()?, values.iter().collect()))
        })
        .collect::<PyResult<_>>()?;
    let mut lent = held
        .iter()
        .map(|(path, values)| Ok((*path, values.iter().map(lend).collect::<PyResult<_>>()?)))
        .collect::<PyResult<Vec<_>>>()?;
    Ok(PyBytes::new(py, &json::attributes_json(&mut lent)))
}

fn lend<'a>(value: &'a Bound<'_, PyAny>) -> PyResult<Held<'a>> {
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(Held::Text(text.to_str()?));
    }
    if let Ok(number) = value.cast::<PyFloat>() {
        return Ok(Held::Float(number.value()));
    }
    match value.extract::<i128>() {
        Ok(number) => Ok(Held::Integer(number)),
        Err(_) => Err(PyTypeError::new_err(
            "a value is a text, a whole number or a float",
        )),
    }
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(attributes_json, module)?)?;
    module.add_function(wrap_pyfunction!(dataset_json, module)?)
}
