//! What was appended last, in memory that the workers of an archive share.
//!
//! Direct writes leave nothing in the page cache. But what arrives is mostly read soon, so the memory
//! that it was written from is kept until it is wanted for what comes next.
//!
//! The memory is a header, labels and trays. A worker fills trays of its own, one after the other and
//! round again; each holds bytes of one pack from one offset on. Who reads any of them counts himself
//! in its label, in a counter of his worker, and a tray with readers is passed over. So a worker that
//! dies leaves readers behind only until the one in its place begins.
//!
//! These bytes came from no disk: a chunk is checked by the first who reads it from here, not by each.

use std::ffi::c_int;
use std::fs::File;
use std::io;
use std::mem::{ManuallyDrop, offset_of};
use std::ops::Range;
use std::os::fd::{FromRawFd, IntoRawFd, RawFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;

use crate::append::told;
use crate::loan::expose;

/// What labels are a multiple of: they do not share a line of a processor's cache.
const LINE: usize = 64;
/// What trays begin at a multiple of.
const PAGE: usize = 4096;

/// Trays for which there is memory at once: of 16 MiB each, 20 ms; 160 where a host has to find it first.
const AT_ONCE: usize = 4;
/// Bytes for which that is one system call: meanwhile others wait who map memory.
const PART: usize = 2 << 20;

/// States of a tray: readable, and free for what comes next.
const OPEN: u32 = 0;
/// Readable, as far as it says, and being filled.
const FILLING: u32 = 1;
/// Not readable: about to be filled with something else.
const CLEARING: u32 = 2;

/// At the begin of the memory.
#[repr(C)]
struct Header {
    trays: u64,
    tray_length: u64,
    workers: u64,
}

/// Bytes of a pack that a tray has: `start..end`, the durable ones. Counters of readers follow, then
/// a bit for each page: whether the chunk that begins in it was checked.
#[repr(C)]
struct Label {
    state: AtomicU32,
    pack: AtomicU64,
    start: AtomicU64,
    end: AtomicU64,
}

/// The memory, as one worker maps it.
pub(crate) struct Memory {
    start: *mut u8,
    length: usize,
    trays: usize,
    tray_length: usize,
    workers: usize,
    worker: usize,
    /// Which of the trays of this worker is next.
    next: Mutex<usize>,
    /// Of how many of them there is memory, whether they are used or not.
    populated: AtomicUsize,
}

// SAFETY: labels are atomic; a tray is written by who took it, beyond what its label tells of.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    fn map(descriptor: RawFd, worker: usize) -> io::Result<Self> {
        // SAFETY: the descriptor is the caller's, and stays open.
        let file = ManuallyDrop::new(unsafe { File::from_raw_fd(descriptor) });
        let number = |at| {
            let mut bytes = [0; 8];
            file.read_exact_at(&mut bytes, at as u64)?;
            usize::try_from(u64::from_ne_bytes(bytes)).map_err(io::Error::other)
        };
        let trays = number(offset_of!(Header, trays))?;
        let tray_length = number(offset_of!(Header, tray_length))?;
        let workers = number(offset_of!(Header, workers))?;
        let length = front(trays, workers, tray_length) + trays * tray_length;
        if worker >= workers || file.metadata()?.len() != length as u64 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // SAFETY: a new mapping, where the kernel likes, of all that the file has.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                descriptor,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let memory = Self {
            start: start.cast(),
            length,
            trays,
            tray_length,
            workers,
            worker,
            next: Mutex::new(0),
            populated: AtomicUsize::new(0),
        };
        memory.stay();
        memory.settle();
        Ok(memory)
    }

    /// Have what is once in memory stay there, where that is granted.
    fn stay(&self) {
        #[cfg(target_os = "linux")]
        // SAFETY: the mapping is ours. Refused, pages may be swapped out as any.
        unsafe {
            libc::mlock2(self.start.cast(), self.length, libc::MLOCK_ONFAULT);
        }
    }

    /// Have memory for the next trays of this worker, and map it; return whether there are more.
    #[cfg(target_os = "linux")]
    fn populate(&self) -> bool {
        let own = self.own();
        let done = self.populated.load(Ordering::Relaxed);
        let until = own.len().min(done + AT_ONCE);
        for tray in own.start + done..own.start + until {
            for at in (0..self.tray_length).step_by(PART) {
                let length = PART.min(self.tray_length - at);
                // What fallocate(2) has is not zeroed before it is touched, which is most of the work.
                // SAFETY: a part of a tray of the mapping; no byte of it changes.
                let told = unsafe {
                    let start = self.tray(tray).add(at).cast();
                    libc::madvise(start, length, libc::MADV_POPULATE_WRITE)
                };
                if told != 0 {
                    // No memory for now, or a kernel before 5.14: it comes page by page, as it is used.
                    self.populated.store(own.len(), Ordering::Relaxed);
                    return false;
                }
            }
        }
        self.populated.store(until, Ordering::Relaxed);
        until < own.len()
    }

    #[cfg(not(target_os = "linux"))]
    fn populate(&self) -> bool {
        false
    }

    /// Forget what the worker did that was in this one's place before.
    fn settle(&self) {
        for tray in 0..self.trays {
            self.readers(tray, self.worker).store(0, Ordering::SeqCst);
        }
        for tray in self.own() {
            let label = self.label(tray);
            if label.state.load(Ordering::SeqCst) == CLEARING {
                label.end.store(0, Ordering::Release);
            }
            label.state.store(OPEN, Ordering::SeqCst);
        }
    }

    /// Return the trays that this worker fills.
    fn own(&self) -> Range<usize> {
        let at = |worker| worker * self.trays / self.workers;
        at(self.worker)..at(self.worker + 1)
    }

    fn label(&self, tray: usize) -> &Label {
        // SAFETY: there is one, aligned, and nothing else is ever there.
        unsafe { &*self.label_place(tray, 0).cast() }
    }

    fn readers(&self, tray: usize, worker: usize) -> &AtomicU32 {
        // SAFETY: as above.
        unsafe {
            &*self
                .label_place(tray, size_of::<Label>() + 4 * worker)
                .cast()
        }
    }

    fn checked(&self, tray: usize, word: usize) -> &AtomicU64 {
        // SAFETY: as above.
        unsafe {
            &*self
                .label_place(tray, counted(self.workers) + 8 * word)
                .cast()
        }
    }

    fn label_place(&self, tray: usize, at: usize) -> *mut u8 {
        let label = LINE + tray * stride(self.workers, self.tray_length);
        // SAFETY: inside the mapping.
        unsafe { self.start.add(label + at) }
    }

    fn tray(&self, tray: usize) -> *mut u8 {
        // SAFETY: inside the mapping.
        unsafe {
            self.start
                .add(front(self.trays, self.workers, self.tray_length) + tray * self.tray_length)
        }
    }

    /// Take memory for bytes of `pack` from `start` on; None where all of it has readers.
    pub(crate) fn fill(self: &Arc<Self>, pack: u64, start: u64) -> Option<Filling> {
        let tray = self.take(pack, start)?;
        let memory = self.clone();
        Some(Filling { memory, tray })
    }

    fn take(&self, pack: u64, start: u64) -> Option<usize> {
        // Nothing in here panics half-way.
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let own = self.own();
        for _ in own.clone() {
            let tray = own.start + *next;
            *next = (*next + 1) % own.len();
            let label = self.label(tray);
            if label.state.load(Ordering::SeqCst) == FILLING {
                continue;
            }
            // Who counts himself after this sees it; who did so before is seen here.
            label.state.store(CLEARING, Ordering::SeqCst);
            let read = |worker| self.readers(tray, worker).load(Ordering::SeqCst) != 0;
            if (0..self.workers).any(read) {
                label.state.store(OPEN, Ordering::SeqCst);
                continue;
            }
            label.pack.store(pack, Ordering::Relaxed);
            label.start.store(start, Ordering::Relaxed);
            label.end.store(start, Ordering::Release);
            for word in 0..words(self.tray_length) {
                self.checked(tray, word).store(0, Ordering::Relaxed);
            }
            label.state.store(FILLING, Ordering::SeqCst);
            return Some(tray);
        }
        None
    }

    /// Return bytes of `pack` if they are here.
    pub(crate) fn find(self: &Arc<Self>, pack: u64, offset: u64, length: usize) -> Option<Kept> {
        let end = offset.checked_add(length as u64)?;
        (0..self.trays).find_map(|tray| {
            let label = self.label(tray);
            let from = || {
                let until = label.end.load(Ordering::Acquire);
                let start = label.start.load(Ordering::Relaxed);
                let same = label.pack.load(Ordering::Relaxed) == pack;
                (same && start <= offset && end <= until).then(|| offset - start)
            };
            from()?;
            self.readers(tray, self.worker)
                .fetch_add(1, Ordering::SeqCst);
            let mut kept = Kept {
                memory: self.clone(),
                tray,
                from: 0,
                length,
            };
            if label.state.load(Ordering::SeqCst) == CLEARING {
                return None;
            }
            // From here on the label stays: now it counts what it says.
            kept.from = usize::try_from(from()?).ok()?;
            Some(kept)
        })
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: mapped by `map`, and nobody has a part of it any more.
        unsafe {
            libc::munmap(self.start.cast(), self.length);
        }
    }
}

/// Return how many bytes a label and its counters take.
fn counted(workers: usize) -> usize {
    (size_of::<Label>() + 4 * workers).next_multiple_of(8)
}

/// Return how many words the bits of a tray take.
fn words(tray_length: usize) -> usize {
    tray_length.div_ceil(PAGE).div_ceil(64)
}

/// Return how many bytes a label takes, with its counters and bits.
fn stride(workers: usize, tray_length: usize) -> usize {
    (counted(workers) + 8 * words(tray_length)).next_multiple_of(LINE)
}

/// Return how many bytes are before the trays.
fn front(trays: usize, workers: usize, tray_length: usize) -> usize {
    (LINE + trays * stride(workers, tray_length)).next_multiple_of(PAGE)
}

/// A tray while it is filled.
pub(crate) struct Filling {
    memory: Arc<Memory>,
    tray: usize,
}

impl Filling {
    /// Return where the tray begins, and its length. What was published is only to be read: others
    /// may be at it.
    pub(crate) fn place(&self) -> (*mut u8, usize) {
        (self.memory.tray(self.tray), self.memory.tray_length)
    }

    /// Say that bytes of the pack before `end` are durable, and may be read here.
    pub(crate) fn publish(&self, end: u64) {
        let label = self.memory.label(self.tray);
        label.end.store(end, Ordering::Release);
    }
}

impl Drop for Filling {
    fn drop(&mut self) {
        let label = self.memory.label(self.tray);
        label.state.store(OPEN, Ordering::SeqCst);
    }
}

/// Bytes of a tray with a reader.
#[pyclass(module = "vna._native", frozen)]
pub(crate) struct Kept {
    memory: Arc<Memory>,
    tray: usize,
    from: usize,
    length: usize,
}

impl Kept {
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: published, so they do not change while there is a reader.
        unsafe {
            std::slice::from_raw_parts(self.memory.tray(self.tray).add(self.from), self.length)
        }
    }

    /// Say whether the chunk of `length` bytes that begins at byte `at` of these was checked here.
    pub(crate) fn is_checked(&self, at: usize, length: usize) -> bool {
        let (word, bit) = self.bit(at);
        length >= PAGE && word.load(Ordering::Relaxed) & bit != 0
    }

    /// Remember that a chunk was checked; of those of a page or more none begins where another does.
    pub(crate) fn note_checked(&self, at: usize, length: usize) {
        let (word, bit) = self.bit(at);
        if length >= PAGE && word.load(Ordering::Relaxed) & bit == 0 {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    fn bit(&self, at: usize) -> (&AtomicU64, u64) {
        let page = (self.from + at) / PAGE;
        (self.memory.checked(self.tray, page / 64), 1 << (page % 64))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let readers = self.memory.readers(self.tray, self.memory.worker);
        readers.fetch_sub(1, Ordering::SeqCst);
    }
}

#[pymethods]
impl Kept {
    /// Lend the bytes for reading.
    ///
    /// # Safety
    /// Python calls this with a view to fill, or NULL.
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let bytes = slf.get().bytes();
        // SAFETY: `view` is Python's; the bytes stay as they are while `slf` lives.
        unsafe { expose(slf.as_any(), bytes.as_ptr(), bytes.len(), view, flags) }
    }
}

#[pyclass(module = "vna._native", frozen)]
pub(crate) struct Fresh(pub(crate) Arc<Memory>);

#[pymethods]
impl Fresh {
    #[new]
    fn new(descriptor: RawFd, worker: usize) -> PyResult<Self> {
        Memory::map(descriptor, worker)
            .map(|memory| Self(Arc::new(memory)))
            .map_err(told)
    }

    fn populate(&self, py: Python<'_>) -> bool {
        py.detach(|| self.0.populate())
    }

    #[staticmethod]
    fn create(length: u64, workers: u64, tray_length: u64) -> PyResult<RawFd> {
        if workers == 0 || tray_length == 0 || !tray_length.is_multiple_of(PAGE as u64) {
            return Err(PyValueError::new_err(
                "memory for no worker, or not of pages",
            ));
        }
        let header = Header {
            trays: length / tray_length,
            tray_length,
            workers,
        };
        create(&header).map_err(told)
    }
}

#[cfg(target_os = "linux")]
fn create(header: &Header) -> io::Result<RawFd> {
    // SAFETY: the name is a text.
    let descriptor = unsafe { libc::memfd_create(c"vna-fresh".as_ptr(), libc::MFD_CLOEXEC) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was opened here.
    let file = unsafe { File::from_raw_fd(descriptor) };
    let size = |number| usize::try_from(number).map_err(io::Error::other);
    let (trays, workers) = (size(header.trays)?, size(header.workers)?);
    let front = front(trays, workers, size(header.tray_length)?) as u64;
    file.set_len(front + header.trays * header.tray_length)?;
    for (at, number) in [
        (offset_of!(Header, trays), header.trays),
        (offset_of!(Header, tray_length), header.tray_length),
        (offset_of!(Header, workers), header.workers),
    ] {
        file.write_all_at(&number.to_ne_bytes(), at as u64)?;
    }
    Ok(file.into_raw_fd())
}

#[cfg(not(target_os = "linux"))]
fn create(_: &Header) -> io::Result<RawFd> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Fresh>()
}
