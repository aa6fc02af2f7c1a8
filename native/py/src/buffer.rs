//! Bytes lent by Python.

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyBufferError;
use pyo3::prelude::*;

use crate::landing::SLAB;

/// Less work than this is done without letting go of the GIL: handing it over costs more.
const SHORT: usize = 4096;

/// A contiguous buffer (bytes, bytearray, memoryview) held for the time of a call.
pub(crate) struct Bytes(PyBuffer<u8>);

impl<'py> FromPyObject<'_, 'py> for Bytes {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let buffer = PyBuffer::get(&object)?;
        if !buffer.is_c_contiguous() {
            return Err(PyBufferError::new_err("the buffer is not contiguous"));
        }
        Ok(Self(buffer))
    }
}

impl Bytes {
    pub(crate) fn as_slice(&self) -> &[u8] {
        let length = self.0.len_bytes();
        if length == 0 {
            return &[];
        }
        // SAFETY: the exporter keeps the memory in place while the buffer is held. A caller that
        // changes it meanwhile from another thread gets results over a mix of bytes, as it would
        // from hashlib; nothing in the core relies on a byte staying the same.
        unsafe { std::slice::from_raw_parts(self.0.buf_ptr().cast::<u8>(), length) }
    }
}

/// Hashing as many bytes as arrive at once takes 0.1 ms. To hand the GIL over and get it back where
/// threads contend for it takes more, most of it in the kernel.
const HASHED: usize = SLAB;

/// Run `work` over `length` bytes, with the GIL released where that pays.
pub(crate) fn released<T: Send>(
    py: Python<'_>,
    length: usize,
    work: impl FnOnce() -> T + Send,
) -> T {
    if length < SHORT {
        work()
    } else {
        py.detach(work)
    }
}

/// The same for work that is little more than hashing `length` bytes.
pub(crate) fn hashed<T: Send>(py: Python<'_>, length: usize, work: impl FnOnce() -> T + Send) -> T {
    if length <= HASHED {
        work()
    } else {
        py.detach(work)
    }
}
