//! The deframer; headers for sending.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView, PySlice};
use vna_core::pdu::{self, Event};

use crate::buffer::Bytes;
use crate::loan::joined;

pyo3::create_exception!(
    vna._native,
    ProtocolError,
    PyValueError,
    "A peer broke the DICOM upper layer protocol (PS3.8); the message says how."
);

fn breach(error: pdu::ProtocolError) -> PyErr {
    ProtocolError::new_err(error.to_string())
}

/// The event's number, its PDU type or context id, and its bytes.
type Found<'py> = (u8, u8, Bound<'py, PyAny>);

#[pyclass(module = "vna._native")]
struct Deframer(pdu::Deframer);

#[pymethods]
impl Deframer {
    #[new]
    fn new(max_pdu_length: u32) -> Self {
        Self(pdu::Deframer::new(max_pdu_length))
    }

    fn received<'py>(&mut self, py: Python<'py>, data: Bytes) -> PyResult<Vec<Found<'py>>> {
        let input = data.as_slice();
        let events = self.0.feed(input).map_err(breach)?;
        events
            .into_iter()
            .map(|event| present(py, event, input))
            .collect()
    }
}

fn present<'py>(py: Python<'py>, event: Event, input: &[u8]) -> PyResult<Found<'py>> {
    Ok(match event {
        Event::Control { kind, pdu } => (0, kind, PyBytes::new(py, &pdu).into_any()),
        Event::Command { context, set } => (1, context, PyBytes::new(py, &set).into_any()),
        Event::Data {
            context,
            runs,
            last,
        } => {
            let length = runs.iter().map(|run| run.len()).sum();
            let parts = runs.into_iter().map(|run| &input[run]);
            (
                if last { 3 } else { 2 },
                context,
                joined(py, length, parts)?,
            )
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
