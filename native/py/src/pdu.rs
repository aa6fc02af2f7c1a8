//! The deframer and its receive buffer; headers for sending.

use std::cell::UnsafeCell;
use std::ffi::c_int;

use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView, PySlice};
use vna_core::pdu::{self, Event};

use crate::buffer::Bytes;

pyo3::create_exception!(
    vna._native,
    ProtocolError,
    PyValueError,
    "A peer broke the DICOM upper layer protocol (PS3.8); the message says how."
);

fn breach(error: pdu::ProtocolError) -> PyErr {
    ProtocolError::new_err(error.to_string())
}

/// Memory that Python writes and Rust reads. It never moves or shrinks, so views of it may
/// outlive a call; each view keeps the object that owns it alive.
struct ReceiveBuffer(Box<[UnsafeCell<u8>]>);

// SAFETY: the bytes are read by `Deframer::received` alone, which holds the GIL from its first
// look at them to its last, and written by holders of a view, who need the GIL to hand out their
// pointer. A transport that still writes while it says how much it wrote breaks its own protocol
// and gets a mix of bytes; nothing in the core relies on a byte staying the same.
unsafe impl Send for ReceiveBuffer {}
// SAFETY: as above.
unsafe impl Sync for ReceiveBuffer {}

impl ReceiveBuffer {
    fn new(capacity: usize) -> Self {
        Self((0..capacity).map(|_| UnsafeCell::new(0)).collect())
    }

    fn get(&self, count: usize) -> Option<&[u8]> {
        let cells = self.0.get(..count)?;
        // SAFETY: UnsafeCell<u8> has the layout of u8; for who writes see above.
        Some(unsafe { std::slice::from_raw_parts(cells.as_ptr().cast::<u8>(), count) })
    }
}

#[pyclass(module = "vna._native")]
struct Deframer {
    inner: pdu::Deframer,
    buffer: ReceiveBuffer,
}

#[pymethods]
impl Deframer {
    #[new]
    #[pyo3(signature = (max_pdu_length, capacity=262_144))]
    fn new(max_pdu_length: u32, capacity: usize) -> PyResult<Self> {
        if capacity == 0 {
            return Err(PyValueError::new_err("a receive buffer needs a capacity"));
        }
        Ok(Self {
            inner: pdu::Deframer::new(max_pdu_length),
            buffer: ReceiveBuffer::new(capacity),
        })
    }

    fn space<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyMemoryView>> {
        PyMemoryView::from(slf.as_any())
    }

    fn received<'py>(
        &mut self,
        py: Python<'py>,
        count: usize,
    ) -> PyResult<Vec<(u8, u8, Bound<'py, PyBytes>)>> {
        let Some(input) = self.buffer.get(count) else {
            return Err(PyValueError::new_err(
                "more bytes received than there is space",
            ));
        };
        let events = self.inner.feed(input).map_err(breach)?;
        events
            .into_iter()
            .map(|event| present(py, event, input))
            .collect()
    }

    /// Lend the buffer for writing.
    ///
    /// # Safety
    /// Python calls this with a view to fill, or NULL.
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let (memory, length) = {
            let this = slf.borrow();
            (this.buffer.0.as_ptr(), this.buffer.0.len())
        };
        // SAFETY: `view` is Python's; the memory stays in place while `slf` lives, and
        // PyBuffer_FillInfo has the view hold a reference to it. PyBuffer_FillInfo refuses a NULL
        // view by itself.
        let filled = unsafe {
            ffi::PyBuffer_FillInfo(
                view,
                slf.as_ptr(),
                memory.cast_mut().cast(),
                length.cast_signed(),
                0,
                flags,
            )
        };
        if filled == 0 {
            Ok(())
        } else {
            Err(PyErr::fetch(slf.py()))
        }
    }
}

/// The event's number, its PDU type or context id, and its bytes: the one copy that data makes.
fn present<'py>(
    py: Python<'py>,
    event: Event,
    input: &[u8],
) -> PyResult<(u8, u8, Bound<'py, PyBytes>)> {
    Ok(match event {
        Event::Control { kind, pdu } => (0, kind, PyBytes::new(py, &pdu)),
        Event::Command { context, set } => (1, context, PyBytes::new(py, &set)),
        Event::Data {
            context,
            runs,
            last,
        } => {
            let length = runs.iter().map(|run| run.len()).sum();
            let data = PyBytes::new_with(py, length, |mut data| {
                for run in runs {
                    let (part, rest) = data.split_at_mut(run.len());
                    part.copy_from_slice(&input[run]);
                    data = rest;
                }
                Ok(())
            })?;
            (if last { 3 } else { 2 }, context, data)
        }
    })
}

#[pyfunction]
fn pdata<'py>(
    context_id: u8,
    data: &Bound<'py, PyAny>,
    command: bool,
    last: bool,
    max_pdu_length: u32,
) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let py = data.py();
    let length = data.extract::<Bytes>()?.as_slice().len();
    let pdus = pdu::pdata(context_id, length, command, last, max_pdu_length)
        .map_err(|error| PyValueError::new_err(error.to_string()))?;
    let view = PyMemoryView::from(data)?;
    let mut parts = Vec::with_capacity(pdus.len() * 2);
    for (header, range) in pdus {
        parts.push(PyBytes::new(py, &header).into_any());
        if range.len() == length {
            parts.push(data.clone());
        } else {
            let (start, end) = (range.start.cast_signed(), range.end.cast_signed());
            parts.push(view.get_item(PySlice::new(py, start, end, 1))?);
        }
    }
    Ok(parts)
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("ProtocolError", module.py().get_type::<ProtocolError>())?;
    module.add_class::<Deframer>()?;
    module.add_function(wrap_pyfunction!(pdata, module)?)
}
