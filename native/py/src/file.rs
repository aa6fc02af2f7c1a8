//! Reading of files: what memory has without waiting for a disk, the rest past the page cache once.
//!
//! What is read but once, as a study that is forwarded or moved to another tier, is not worth a page
//! of the cache, and to fill pages costs more than to read the disk. What is read again goes there.

use std::collections::HashSet;
use std::ffi::c_int;
use std::fs::{File, OpenOptions};
use std::io;
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::os::fd::FromRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView};
use pyo3::{PyClass, PyClassInitializer};

use crate::append::BLOCK;
use crate::fresh::{Fresh, Memory};
use crate::loan::{blocks, expose, filled};
use crate::mapping::{Mapped, Presence};

/// Most that is read: the GIL stays held meanwhile.
const MOST: usize = 16 << 20;
/// Less than this is copied: that costs less than to ask for its pages, and outlives them.
const LEAST: usize = 64 << 10;

/// Places of a file of which it is remembered that they were read directly.
const REMEMBERED: usize = 1 << 14;

/// An open file, and the page cache before it. The descriptor stays its owner's.
#[pyclass(module = "vna._native", frozen)]
struct CachedFile {
    descriptor: c_int,
    mapped: Mapped,
    direct: Mutex<Direct>,
    /// What was appended last to packs, and which of them this is.
    fresh: Option<(Arc<Memory>, u64)>,
}

/// The same file for reads past the page cache, opened when that is first wanted.
#[derive(Default)]
enum Direct {
    #[default]
    Untried,
    Refused,
    Open {
        file: Arc<File>,
        /// Where reads began that went past the page cache.
        read: HashSet<u64>,
    },
}

#[pymethods]
impl CachedFile {
    #[new]
    #[pyo3(signature = (descriptor, fresh=None, pack=0))]
    fn new(descriptor: c_int, fresh: Option<Bound<'_, Fresh>>, pack: u64) -> Self {
        Self {
            descriptor,
            mapped: Mapped::default(),
            direct: Mutex::default(),
            fresh: fresh.map(|fresh| (fresh.get().0.clone(), pack)),
        }
    }

    fn read<'py>(
        &self,
        py: Python<'py>,
        offset: u64,
        length: usize,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        if !(LEAST..=MOST).contains(&length) {
            return Ok(None);
        }
        let skip = (offset % BLOCK as u64) as usize;
        blocks(py, skip, length, |blocks| {
            self.fill(blocks, offset, skip..skip + length)
        })
    }

    fn present<'py>(
        &self,
        py: Python<'py>,
        offset: u64,
        length: usize,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        if length == 0 || length > MOST {
            return Ok(None);
        }
        if let Some((memory, pack)) = &self.fresh
            && let Some(kept) = memory.find(*pack, offset, length)
        {
            if length < LEAST {
                return Ok(Some(PyBytes::new(py, kept.bytes()).into_any()));
            }
            return lent(py, kept).map(Some);
        }
        self.mapped.synced(offset.saturating_add(length as u64));
        if length >= LEAST {
            match self.mapped.look(self.descriptor, offset, length)? {
                Presence::Pages(pages) => return lent(py, Pages(pages)).map(Some),
                // To ask by reading would have the kernel read ahead.
                Presence::Absent => return Ok(None),
                Presence::Near | Presence::Unknown => {}
            }
        }
        // SAFETY: `present` says how many bytes it wrote, at most `length`.
        unsafe {
            filled(py, length, |start| {
                present(self.descriptor, start.cast(), length, offset)
            })
        }
    }
}

/// Return a view of the bytes that `lender` has.
fn lent<'py, T: PyClass>(
    py: Python<'py>,
    lender: impl Into<PyClassInitializer<T>>,
) -> PyResult<Bound<'py, PyAny>> {
    let lender = Bound::new(py, lender)?;
    Ok(PyMemoryView::from(lender.as_any())?.into_any())
}

impl CachedFile {
    /// Read the file's bytes from `offset` on to a part of `blocks`, which begin on a block of the
    /// file; return up to where they are filled.
    fn fill(&self, blocks: &mut [u8], offset: u64, part: Range<usize>) -> io::Result<usize> {
        let begin = part.start;
        let there = self.mapped.look(self.descriptor, offset, part.len())?;
        if matches!(there, Presence::Absent)
            && let Some(file) = self.first_read(offset)
        {
            match read_on(&file, blocks, offset - begin as u64) {
                // This file system takes other multiples, or no such reads after all.
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                    *self.direct() = Direct::Refused;
                }
                result => return result,
            }
        }
        // SAFETY: the descriptor is open, and is not closed here.
        let file = ManuallyDrop::new(unsafe { File::from_raw_fd(self.descriptor) });
        Ok(begin + read_on(&file, &mut blocks[part], offset)?)
    }

    /// Return the file for a read past the page cache, unless it was so read at `offset` before.
    fn first_read(&self, offset: u64) -> Option<Arc<File>> {
        let mut direct = self.direct();
        if matches!(*direct, Direct::Untried) {
            *direct = open_direct(self.descriptor).map_or(Direct::Refused, |file| Direct::Open {
                file: Arc::new(file),
                read: HashSet::new(),
            });
        }
        let Direct::Open { file, read } = &mut *direct else {
            return None;
        };
        if read.remove(&offset) {
            return None;
        }
        if read.len() >= REMEMBERED {
            read.clear();
        }
        read.insert(offset);
        Some(file.clone())
    }

    fn direct(&self) -> MutexGuard<'_, Direct> {
        // Nothing in here panics half-way.
        self.direct.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Open once more the file of a descriptor, whatever its name is now; None where that cannot be.
#[cfg(target_os = "linux")]
fn open_direct(descriptor: c_int) -> Option<File> {
    let mut how = OpenOptions::new();
    how.read(true).custom_flags(libc::O_DIRECT);
    how.open(format!("/proc/self/fd/{descriptor}")).ok()
}

#[cfg(not(target_os = "linux"))]
fn open_direct(_: c_int) -> Option<File> {
    None
}

/// Read from `offset` on until `bytes` are full or the file ends; return how many that were.
fn read_on(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < bytes.len() {
        match file.read_at(&mut bytes[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(more) => done += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // The end of a file lies within a block.
            Err(error) if done > 0 && error.raw_os_error() == Some(libc::EINVAL) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// What a view of the page cache keeps alive.
#[pyclass(module = "vna._native", frozen)]
pub(crate) struct Pages(pub(crate) crate::mapping::Pages);

#[pymethods]
impl Pages {
    /// Lend the bytes for reading.
    ///
    /// # Safety
    /// Python calls this with a view to fill, or NULL.
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let (start, length) = slf.get().0.place();
        // SAFETY: `view` is Python's; the pages stay mapped while `slf` lives.
        unsafe { expose(slf.as_any(), start, length, view, flags) }
    }
}

/// Read what the page cache has from `offset` on; return how many bytes that was from the front.
///
/// # Safety
/// `start` must point to `length` writable bytes.
#[cfg(target_os = "linux")]
unsafe fn present(
    descriptor: c_int,
    start: *mut libc::c_void,
    length: usize,
    offset: u64,
) -> io::Result<usize> {
    let Ok(offset) = libc::off_t::try_from(offset) else {
        return Ok(0);
    };
    let part = libc::iovec {
        iov_base: start,
        iov_len: length,
    };
    // SAFETY: one part, as the caller promises.
    let taken = unsafe { libc::preadv2(descriptor, &raw const part, 1, offset, libc::RWF_NOWAIT) };
    if let Ok(taken) = usize::try_from(taken) {
        return Ok(taken);
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        // Not present; or the file system or kernel cannot tell; or a signal came first.
        Some(libc::EAGAIN | libc::EOPNOTSUPP | libc::ENOSYS | libc::EINVAL | libc::EINTR) => Ok(0),
        _ => Err(error),
    }
}

#[cfg(not(target_os = "linux"))]
unsafe fn present(_: c_int, _: *mut libc::c_void, _: usize, _: u64) -> io::Result<usize> {
    Ok(0)
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<CachedFile>()
}
