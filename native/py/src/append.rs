//! Appending to a file, and syncing it, beside the interpreter: a thread that never needs the lock of
//! Python.
//!
//! Half a megabyte that goes past the page cache costs less processor time. What it was written from
//! may stay for who reads it next (`window.rs`, `fresh.rs`).

use std::fs::File;
use std::io::{self, IoSlice};
use std::mem::{ManuallyDrop, replace, take};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;

use crate::buffer::Bytes;
use crate::fresh::{Fresh, Memory};
use crate::window::Window;

/// A multiple of what direct reads and writes ask of addresses, offsets and lengths.
pub(crate) const BLOCK: usize = 4096;
/// Buffers that the kernel takes at once (`IOV_MAX`).
const BUFFERS: usize = 1024;

struct Order {
    parts: Vec<Bytes>,
    then: Then,
}

/// What follows the writing of an order.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    /// Nothing: other orders will.
    More,
    /// Somebody waits for it.
    Tell,
    /// Somebody waits for it, and for the sync of all.
    Sync,
}

/// What came of the orders since the last one that somebody waited for: whether the file is written
/// directly still. The parts go back to where there is an interpreter to take them.
struct Done(io::Result<bool>, #[expect(dead_code)] Vec<Bytes>);

/// A thread that writes the end of one file, and syncs it. It ends with this object.
#[pyclass(module = "vna._native", frozen)]
struct Appender {
    orders: Sender<Order>,
    results: Mutex<Receiver<Done>>,
}

#[pymethods]
impl Appender {
    #[new]
    #[pyo3(signature = (fd, direct, offset, fresh=None, pack=0))]
    fn new(
        fd: RawFd,
        direct: RawFd,
        offset: u64,
        fresh: Option<Bound<'_, Fresh>>,
        pack: u64,
    ) -> PyResult<Self> {
        let fresh = fresh.map(|fresh| (fresh.get().0.clone(), pack));
        let (orders, ordered) = channel::<Order>();
        let (done, results) = channel();
        thread::Builder::new()
            .name("append".into())
            .spawn(move || {
                End::new(fd, direct, offset, fresh).serve(&ordered, &done);
            })?;
        Ok(Self {
            orders,
            results: Mutex::new(results),
        })
    }

    fn write(&self, parts: Vec<Bytes>) -> PyResult<()> {
        self.order(parts, Then::More)
    }

    fn sync(&self, parts: Vec<Bytes>) -> PyResult<()> {
        self.order(parts, Then::Sync)
    }

    fn settle(&self, py: Python<'_>) -> PyResult<bool> {
        self.order(Vec::new(), Then::Tell)?;
        self.wait(py)
    }

    fn wait(&self, py: Python<'_>) -> PyResult<bool> {
        let done = py.detach(|| {
            let results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
            results.recv()
        });
        let Done(result, _) = done.map_err(|_| ended())?;
        result.map_err(told)
    }
}

impl Appender {
    fn order(&self, parts: Vec<Bytes>, then: Then) -> PyResult<()> {
        self.orders.send(Order { parts, then }).map_err(|_| ended())
    }
}

fn ended() -> PyErr {
    PyOSError::new_err((libc::EIO, "the thread that appends has ended"))
}

/// The end of a file that grows.
struct End {
    // The caller keeps the files open until it has waited.
    file: ManuallyDrop<File>,
    direct: Option<ManuallyDrop<File>>,
    /// Where what follows is to be written.
    offset: u64,
    /// What is written directly is written from here.
    window: Window,
}

impl End {
    fn new(fd: RawFd, direct: RawFd, offset: u64, fresh: Option<(Arc<Memory>, u64)>) -> Self {
        // SAFETY: the descriptors are the caller's, who keeps them open; they are not closed here.
        let file = |fd| ManuallyDrop::new(unsafe { File::from_raw_fd(fd) });
        Self {
            file: file(fd),
            direct: (fd != direct).then(|| file(direct)),
            offset,
            window: Window::new(fresh),
        }
    }

    /// Do what is ordered until nobody orders any more, or an error has been told. What waits is
    /// written together.
    fn serve(&mut self, ordered: &Receiver<Order>, done: &Sender<Done>) {
        let mut held = Vec::new();
        let mut result = Ok(());
        while let Ok(Order {
            mut parts,
            mut then,
        }) = ordered.recv()
        {
            while then == Then::More
                && let Ok(next) = ordered.try_recv()
            {
                parts.extend(next.parts);
                then = next.then;
            }
            result = result.and_then(|()| self.append(&parts));
            held.extend(parts);
            if then == Then::More {
                continue;
            }
            let mut told = replace(&mut result, Ok(()));
            if then == Then::Sync {
                told = told.and_then(|()| self.sync());
            }
            let failed = told.is_err();
            let told = told.map(|()| self.direct.is_some());
            if done.send(Done(told, take(&mut held))).is_err() || failed {
                return;
            }
        }
    }

    /// Write `parts` where the last ones ended; directly, with zeros to the end of the last block.
    fn append(&mut self, parts: &[Bytes]) -> io::Result<()> {
        if parts.is_empty() {
            return Ok(());
        }
        let length = parts.iter().map(|part| part.as_slice().len()).sum();
        if self.direct.is_none() {
            gather(&self.file, self.offset, parts)?;
        } else {
            self.window.begin(self.offset, length, &self.file)?;
            for part in parts {
                let mut rest = self.window.take(part.as_slice());
                while !rest.is_empty() {
                    self.write()?;
                    rest = self.window.take(rest);
                }
            }
            self.write()?;
        }
        self.offset += length as u64;
        Ok(())
    }

    /// Write what the window has and the file has not.
    fn write(&mut self) -> io::Result<()> {
        let (offset, blocks) = self.window.blocks();
        let mut written = match &self.direct {
            Some(direct) => direct.write_all_at(blocks, offset),
            None => self.file.write_all_at(blocks, offset),
        };
        if let Err(error) = &written
            && error.raw_os_error() == Some(libc::EINVAL)
            && self.direct.take().is_some()
        {
            // This file system takes other multiples, or no such writes after all.
            written = self.file.write_all_at(blocks, offset);
        }
        written?;
        self.window.wrote();
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        self.window.publish();
        Ok(())
    }
}

/// Write `parts` one after the other from `offset` on, through the page cache.
fn gather(file: &File, mut offset: u64, parts: &[Bytes]) -> io::Result<()> {
    let slices = parts.iter().map(|part| IoSlice::new(part.as_slice()));
    let mut slices: Vec<_> = slices.filter(|slice| !slice.is_empty()).collect();
    let mut rest = &mut slices[..];
    while !rest.is_empty() {
        let count = rest.len().min(BUFFERS) as libc::c_int;
        // SAFETY: an `IoSlice` is an iovec, and these live until the call has returned.
        let written = unsafe {
            libc::pwritev(
                file.as_raw_fd(),
                rest.as_ptr().cast(),
                count,
                offset as libc::off_t,
            )
        };
        match usize::try_from(written) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                offset += written as u64;
                IoSlice::advance_slices(&mut rest, written);
            }
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
    Ok(())
}

/// Return the error with its number, by which Python's side tells want of space from the rest.
pub(crate) fn told(error: io::Error) -> PyErr {
    let Some(number) = error.raw_os_error() else {
        return error.into();
    };
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    PyOSError::new_err((number, text.to_owned()))
}

#[pyfunction]
fn keep_room(py: Python<'_>, fd: RawFd, offset: i64, length: i64) -> PyResult<()> {
    py.detach(|| keep(fd, offset, length)).map_err(told)
}

#[cfg(target_os = "linux")]
fn keep(fd: RawFd, offset: i64, length: i64) -> io::Result<()> {
    loop {
        // SAFETY: no memory is handed over.
        if unsafe { libc::fallocate(fd, libc::FALLOC_FL_KEEP_SIZE, offset, length) } == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINTR) => {}
            Some(libc::EOPNOTSUPP | libc::ENOSYS) => return Ok(()),
            _ => return Err(error),
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn keep(_: RawFd, _: i64, _: i64) -> io::Result<()> {
    Ok(())
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Appender>()?;
    module.add_function(wrap_pyfunction!(keep_room, module)?)
}
