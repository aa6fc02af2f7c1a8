//! BLAKE3 and CRC-32C.

use pyo3::prelude::*;
use vna_core::hash;

use crate::buffer::{Bytes, hashed};

#[pyfunction]
fn blake3(py: Python<'_>, data: Bytes) -> [u8; 32] {
    let data = data.as_slice();
    hashed(py, data.len(), || hash::blake3(data))
}

#[pyfunction]
#[pyo3(signature = (data, seed=0))]
fn crc32c(py: Python<'_>, data: Bytes, seed: u32) -> u32 {
    let data = data.as_slice();
    hashed(py, data.len(), || hash::crc32c(data, seed))
}

#[pyclass(module = "vna._native")]
struct Blake3(hash::Hasher);

#[pymethods]
impl Blake3 {
    #[new]
    fn new() -> Self {
        Self(hash::Hasher::new())
    }

    fn update(&mut self, py: Python<'_>, data: Bytes) {
        let data = data.as_slice();
        hashed(py, data.len(), || {
            self.0.update(data);
        });
    }

    fn digest(&self) -> [u8; 32] {
        *self.0.finalize().as_bytes()
    }
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Blake3>()?;
    module.add_function(wrap_pyfunction!(blake3, module)?)?;
    module.add_function(wrap_pyfunction!(crc32c, module)?)
}
