//! Appending to a file, and syncing it, beside the interpreter: a thread that never needs the lock of
//! Python.
//!
//! Half a megabyte that goes past the page cache costs less processor time, and is not in memory for
//! who reads it next.

use std::fs::File;
use std::io::{self, IoSlice};
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use pyo3::exceptions::{PyOSError, PyRuntimeError};
use pyo3::prelude::*;

use crate::buffer::Bytes;
use crate::copy::copy_past_caches;

/// A multiple of what direct writes ask of addresses, offsets and lengths.
const BLOCK: usize = 4096;
/// Bytes that are written at once directly, at most.
const PIECE: usize = 4 << 20;
/// A page of the larger kind: where memory has them, the kernel looks up two pages for a write, not
/// a thousand.
const HUGE_PAGE: usize = 2 << 20;
/// Buffers that the kernel takes at once (`IOV_MAX`).
const BUFFERS: usize = 1024;

struct Order {
    offset: u64,
    parts: Vec<Bytes>,
}

/// What came of an order: whether the file is written directly still. The parts go back to where
/// there is an interpreter to take them.
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
    fn new(fd: RawFd, direct: RawFd) -> PyResult<Self> {
        let (orders, ordered) = channel::<Order>();
        let (done, results) = channel();
        thread::Builder::new()
            .name("append".into())
            .spawn(move || {
                let mut end = End::new(fd, direct);
                for Order { offset, parts } in ordered {
                    let result = end.append(offset, &parts).and_then(|()| end.sync());
                    if done.send(Done(result, parts)).is_err() {
                        return;
                    }
                }
            })?;
        Ok(Self {
            orders,
            results: Mutex::new(results),
        })
    }

    fn start(&self, offset: u64, parts: Vec<Bytes>) -> PyResult<()> {
        self.orders
            .send(Order { offset, parts })
            .map_err(|_| PyRuntimeError::new_err("the thread that appends has ended"))
    }

    fn wait(&self, py: Python<'_>) -> PyResult<bool> {
        let done = py.detach(|| {
            let results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
            results.recv()
        });
        let Done(result, _) =
            done.map_err(|_| PyRuntimeError::new_err("the thread that appends has ended"))?;
        result.map_err(told)
    }
}

/// The end of a file, and its last block, which the next write brings again.
struct End {
    // The caller keeps the files open until it has waited.
    file: ManuallyDrop<File>,
    direct: Option<ManuallyDrop<File>>,
    memory: Vec<u8>,
    /// Where in the memory addresses are a multiple of a block.
    start: usize,
    /// Where the last write ended; the memory begins with the bytes of that block.
    at: Option<u64>,
}

impl End {
    fn new(fd: RawFd, direct: RawFd) -> Self {
        // SAFETY: the descriptors are the caller's, who keeps them open; they are not closed here.
        let file = |fd| ManuallyDrop::new(unsafe { File::from_raw_fd(fd) });
        let direct = (fd != direct).then(|| file(direct));
        let (memory, start) = match direct {
            Some(_) => aligned(),
            None => (Vec::new(), 0),
        };
        Self {
            file: file(fd),
            direct,
            memory,
            start,
            at: None,
        }
    }

    /// Write `parts` from `offset` on; directly, with zeros to the end of the last block.
    fn append(&mut self, offset: u64, parts: &[Bytes]) -> io::Result<()> {
        if parts.is_empty() {
            return Ok(());
        }
        if self.direct.is_none() {
            return gather(&self.file, offset, parts);
        }
        let mut filled = (offset % BLOCK as u64) as usize;
        let mut base = offset - filled as u64;
        if self.at.take() != Some(offset) {
            let (file, piece) = (&self.file, &mut self.memory[self.start..]);
            file.read_exact_at(&mut piece[..filled], base)?;
        }
        for part in parts {
            let mut rest = part.as_slice();
            while !rest.is_empty() {
                let (now, later) = rest.split_at(rest.len().min(PIECE - filled));
                copy_past_caches(&mut self.piece()[filled..filled + now.len()], now);
                filled += now.len();
                rest = later;
                if filled == PIECE {
                    self.write(base, PIECE)?;
                    (base, filled) = (base + PIECE as u64, 0);
                }
            }
        }
        let whole = filled.next_multiple_of(BLOCK);
        self.piece()[filled..whole].fill(0);
        self.write(base, whole)?;
        self.piece().copy_within(filled - filled % BLOCK..filled, 0);
        self.at = Some(base + filled as u64);
        Ok(())
    }

    fn piece(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + PIECE]
    }

    /// Write the first `length` bytes of the memory at `offset`.
    fn write(&mut self, offset: u64, length: usize) -> io::Result<()> {
        let piece = &self.memory[self.start..self.start + length];
        if let Some(direct) = &self.direct {
            match direct.write_all_at(piece, offset) {
                // This file system takes other multiples, or no such writes after all.
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => self.direct = None,
                result => return result,
            }
        }
        self.file.write_all_at(piece, offset)
    }

    fn sync(&self) -> io::Result<bool> {
        self.file.sync_data()?;
        Ok(self.direct.is_some())
    }
}

/// Return zeros, and from where on `PIECE` of them lie in large pages, if the kernel has any.
fn aligned() -> (Vec<u8>, usize) {
    let memory = vec![0; PIECE + HUGE_PAGE];
    let start = memory.as_ptr().align_offset(HUGE_PAGE);
    #[cfg(target_os = "linux")]
    // SAFETY: the range is within the memory, and its content stays. It is advice: an error is no
    // matter.
    unsafe {
        let place = memory.as_ptr().add(start).cast_mut().cast();
        libc::madvise(place, PIECE, libc::MADV_HUGEPAGE);
    }
    (memory, start)
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
