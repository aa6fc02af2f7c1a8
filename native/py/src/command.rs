//! Command sets from and to Python objects that have an attribute per element.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};
use vna_core::command::{self, Kind, Value};

use crate::buffer::Bytes;
use crate::pdu::breach;

/// An element that is known: its number, the attribute's name, what its value is.
struct Known(u16, Py<PyString>, Kind);

#[pyclass(module = "vna._native", frozen)]
struct CommandSet(Vec<Known>);

#[pymethods]
impl CommandSet {
    #[new]
    fn new(py: Python<'_>, elements: Vec<(u16, String, String)>) -> PyResult<Self> {
        if !elements.is_sorted_by_key(|(element, ..)| *element) {
            return Err(PyValueError::new_err("the elements do not ascend"));
        }
        let known = elements.into_iter().map(|(element, name, vr)| {
            let kind = match vr.as_str() {
                "US" => Kind::Short,
                "AT" => Kind::Tags,
                "UI" => Kind::Uid,
                "AE" | "LO" => Kind::Text,
                _ => return Err(PyValueError::new_err(format!("no command has a {vr}"))),
            };
            Ok(Known(element, PyString::intern(py, &name).unbind(), kind))
        });
        Ok(Self(known.collect::<PyResult<_>>()?))
    }

    fn values<'py>(&self, py: Python<'py>, data: Bytes) -> PyResult<Bound<'py, PyDict>> {
        let values = PyDict::new(py);
        for (element, raw) in command::elements(data.as_slice()).map_err(breach)? {
            let Ok(place) = self.0.binary_search_by_key(&element, |known| known.0) else {
                continue;
            };
            let Known(_, name, kind) = &self.0[place];
            values.set_item(name, given(py, kind.read(raw))?)?;
        }
        Ok(values)
    }

    fn encode<'py>(&self, command: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
        let py = command.py();
        let mut values = Vec::with_capacity(self.0.len());
        for Known(element, name, kind) in &self.0 {
            if let Some(value) = taken(*kind, &command.getattr(name)?)? {
                values.push((*element, *kind, value));
            }
        }
        let elements = values.iter();
        let set = command::encode(elements.map(|(element, kind, value)| (*element, *kind, value)));
        Ok(PyBytes::new(py, &set))
    }
}

/// Return a value for Python.
fn given(py: Python<'_>, value: Option<Value>) -> PyResult<Bound<'_, PyAny>> {
    Ok(match value {
        None => py.None().into_bound(py),
        Some(Value::Short(number)) => number.into_pyobject(py)?.into_any(),
        Some(Value::Tags(tags)) => PyTuple::new(py, tags)?.into_any(),
        Some(Value::Text(text)) => PyString::new(py, &text).into_any(),
    })
}

/// Return a value of Python's; None where the element is absent.
fn taken(kind: Kind, value: &Bound<'_, PyAny>) -> PyResult<Option<Value>> {
    if value.is_none() {
        return Ok(None);
    }
    let value = match kind {
        Kind::Short => Value::Short(value.extract()?),
        Kind::Tags => Value::Tags(value.extract()?),
        Kind::Uid | Kind::Text => Value::Text(value.extract()?),
    };
    let absent = match &value {
        Value::Short(_) => false,
        Value::Tags(tags) => tags.is_empty(),
        Value::Text(text) => text.is_empty(),
    };
    Ok((!absent).then_some(value))
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<CommandSet>()
}
