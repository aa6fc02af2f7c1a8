//! Taking multipart messages apart.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyMemoryView};
use vna_core::multipart::{self, Event};

use crate::buffer::{Bytes, hashed};
use crate::landing::part;

/// Boxed: a search for a text holds vectors, which Python's allocator would not align.
#[pyclass(module = "vna._native")]
struct Multipart(Box<multipart::Reader>);

#[pymethods]
impl Multipart {
    #[new]
    fn new(boundary: &[u8]) -> Self {
        Self(Box::new(multipart::Reader::new(boundary)))
    }

    fn feed<'py>(&mut self, data: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let py = data.py();
        let bytes = data.extract::<Bytes>()?;
        let piece = bytes.as_slice();
        let events =
            hashed(py, piece.len(), || self.0.feed(piece)).map_err(PyValueError::new_err)?;
        let view = PyMemoryView::from(data)?;
        let found = events.into_iter().map(|event| {
            Ok(match event {
                Event::Begin(headers) => {
                    let found = PyDict::new(py);
                    for (name, value) in headers {
                        found.set_item(name, value)?;
                    }
                    found.into_any()
                }
                Event::Content(range) => part(&view, range)?,
                Event::Kept(bytes) => PyBytes::new(py, &bytes).into_any(),
                Event::End => py.None().into_bound(py),
            })
        });
        found.collect()
    }

    fn close(&self) -> PyResult<()> {
        self.0.close().map_err(PyValueError::new_err)
    }

    #[getter]
    fn kept(&self) -> usize {
        self.0.kept()
    }
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Multipart>()
}
