//! The fold of new instances into the index.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple};
use vna_core::fold::{self, Entry, Folded};

use crate::buffer::released;

#[pyfunction]
fn fold_new<'py>(py: Python<'py>, group: &[u8]) -> PyResult<Option<Bound<'py, PyTuple>>> {
    let folded = released(py, group.len(), || fold::fold(group));
    folded.map(|folded| told(py, &folded)).transpose()
}

/// Return a fold for Python, in the order that `vna/_native.pyi` gives.
fn told<'py>(py: Python<'py>, folded: &Folded) -> PyResult<Bound<'py, PyTuple>> {
    let tables = PyDict::new(py);
    for (table, entries) in &folded.tables {
        tables.set_item(table, pairs(py, entries)?)?;
    }
    let bytes = |bytes: &Vec<u8>| PyBytes::new(py, bytes);
    let changes = folded.changes.iter().map(|(level, row, was, now)| {
        (*level, bytes(row), was.as_ref().map(bytes), bytes(now)).into_pyobject(py)
    });
    let changes = changes.collect::<PyResult<Vec<_>>>()?;
    let parts = [
        tables.into_any(),
        pairs(py, &folded.patients)?.into_any(),
        PyList::new(py, folded.instances.iter().map(bytes))?.into_any(),
        PyList::new(py, changes)?.into_any(),
    ];
    PyTuple::new(py, parts)
}

fn pairs<'py>(py: Python<'py>, entries: &[Entry]) -> PyResult<Bound<'py, PyList>> {
    let entries = entries
        .iter()
        .map(|(key, value)| (PyBytes::new(py, key), PyBytes::new(py, value)));
    PyList::new(py, entries)
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(fold_new, module)?)
}
