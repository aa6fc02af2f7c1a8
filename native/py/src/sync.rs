//! fdatasync beside the interpreter: a thread that never needs the lock of Python.

use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{FromRawFd, RawFd};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

/// A thread that syncs one file after the other. It ends with this object.
#[pyclass(module = "vna._native", frozen)]
struct Syncer {
    orders: Sender<RawFd>,
    results: Mutex<Receiver<io::Result<()>>>,
}

#[pymethods]
impl Syncer {
    #[new]
    fn new() -> PyResult<Self> {
        let (orders, ordered) = channel::<RawFd>();
        let (done, results) = channel();
        thread::Builder::new().name("sync".into()).spawn(move || {
            for fd in ordered {
                // The caller keeps the file open until it has waited.
                let file = ManuallyDrop::new(unsafe { File::from_raw_fd(fd) });
                if done.send(file.sync_data()).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self {
            orders,
            results: Mutex::new(results),
        })
    }

    fn start(&self, fd: RawFd) -> PyResult<()> {
        self.orders
            .send(fd)
            .map_err(|_| PyRuntimeError::new_err("the sync thread has ended"))
    }

    fn wait(&self, py: Python<'_>) -> PyResult<()> {
        let result = py.detach(|| {
            let results = self
                .results
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            results.recv()
        });
        result.map_err(|_| PyRuntimeError::new_err("the sync thread has ended"))??;
        Ok(())
    }
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Syncer>()
}
