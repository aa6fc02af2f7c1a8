//! The deframer; headers for sending.

use std::ops::Range;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView};
use vna_core::pdu::{self, Event, Part};

use crate::buffer::Bytes;
use crate::landing::{Landing, part};
use crate::loan::joined;

pyo3::create_exception!(
    vna._native,
    ProtocolError,
    PyValueError,
    "A peer broke the DICOM upper layer protocol (PS3.8); the message says how."
);

pub(crate) fn breach(error: pdu::ProtocolError) -> PyErr {
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

    fn received<'py>(
        &mut self,
        py: Python<'py>,
        landing: &mut Landing,
        length: usize,
    ) -> PyResult<Vec<Found<'py>>> {
        let input = landing.received(length)?;
        let events = self.0.feed(input).map_err(breach)?;
        if !Landing::hands_on(events.iter().map(data_length).sum()) {
            let copied = events.into_iter().map(|event| present(py, event, input));
            return copied.collect();
        }
        let mut end = 0;
        let packed: Vec<Range<usize>> = events
            .iter()
            .map(|event| match event {
                Event::Data { runs, .. } => {
                    let place = landing.pack(runs, end);
                    end = place.end;
                    place
                }
                _ => 0..0,
            })
            .collect();
        let slab = landing.hand_on(py)?;
        let found = events.into_iter().zip(packed).map(|(event, place)| {
            let (kind, which) = match event {
                Event::Data { context, last, .. } => (data_kind(last), context),
                other => return present(py, other, &[]),
            };
            Ok((kind, which, part(&slab, place)?))
        });
        found.collect()
    }
}

fn data_length(event: &Event) -> usize {
    match event {
        Event::Data { runs, .. } => runs.iter().map(ExactSizeIterator::len).sum(),
        _ => 0,
    }
}

fn data_kind(last: bool) -> u8 {
    if last { 3 } else { 2 }
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
            (data_kind(last), context, joined(py, length, parts)?)
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
            parts.push(part(&view, range)?);
        }
    }
    Ok(parts)
}

#[pyfunction]
fn message<'py>(
    py: Python<'py>,
    context_id: u8,
    command: &[u8],
    pieces: Option<Vec<Bound<'py, PyAny>>>,
    max_pdu_length: u32,
) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let lent = pieces.as_ref().map(|pieces| {
        let held = pieces.iter().map(|piece| piece.extract::<Bytes>());
        held.collect::<PyResult<Vec<_>>>()
    });
    let lent = lent.transpose()?;
    let slices: Option<Vec<&[u8]>> = lent
        .as_ref()
        .map(|lent| lent.iter().map(Bytes::as_slice).collect());
    let parts = pdu::message(context_id, command, slices.as_deref(), max_pdu_length)
        .map_err(|error| PyValueError::new_err(error.to_string()))?;
    let mut views: Vec<Option<Bound<'py, PyMemoryView>>> =
        vec![None; slices.map_or(0, |s| s.len())];
    let pieces = pieces.unwrap_or_default();
    let found = parts.into_iter().map(|made| match made {
        Part::Made(bytes) => Ok(PyBytes::new(py, &bytes).into_any()),
        Part::Lent { piece, bytes } => {
            let view = match &mut views[piece] {
                Some(view) => view,
                missing => missing.insert(PyMemoryView::from(&pieces[piece])?),
            };
            part(view, bytes)
        }
    });
    found.collect()
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("ProtocolError", module.py().get_type::<ProtocolError>())?;
    module.add_class::<Deframer>()?;
    module.add_function(wrap_pyfunction!(pdata, module)?)?;
    module.add_function(wrap_pyfunction!(message, module)?)
}
