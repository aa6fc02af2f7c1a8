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
//!
//! What is sent again and again leaves without being copied (`outlet`): a socket then holds pages of
//! the memory, for as long as its peer does not read. So a tray of which some left like that gets
//! other pages before it is filled anew.

use std::ffi::{c_int, c_void};
use std::fs::File;
use std::io;
use std::mem::{ManuallyDrop, offset_of};
use std::ops::Range;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;

use libc::off_t;
use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;

use crate::append::told;
use crate::loan::expose;
use crate::mapping::page_size;

/// What labels are a multiple of: they do not share a line of a processor's cache.
const LINE: usize = 64;
/// What trays begin at a multiple of.
const PAGE: usize = 4096;

/// Trays for which there is memory at once: of 16 MiB each, 20 ms; 160 where a host has to find it first.
const AT_ONCE: usize = 4;
/// Bytes for which that is one system call: meanwhile others wait who map memory. Where the kernel
/// has such pages it is one page, which disks and sockets take as a whole.
const PART: usize = 2 << 20;
/// Have one page in the place of many (Linux 6.1).
#[cfg(target_os = "linux")]
const MADV_COLLAPSE: c_int = 25;

/// To give a tray other pages takes about what is saved when they are sent so many times, and not
/// copied to sockets.
const RENEWAL: u64 = 2;

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
    /// How many bytes a label takes: a worker of another version may have others.
    stride: u64,
}

/// Bytes of a pack that a tray has: `start..end`, the durable ones. Counters of readers follow, then
/// a bit for each page: whether the chunk that begins in it was checked.
#[repr(C)]
struct Label {
    state: AtomicU32,
    pack: AtomicU64,
    start: AtomicU64,
    end: AtomicU64,
    /// How many bytes of it were sent: from `RENEWAL` times its length on sockets may hold pages.
    sent: AtomicU64,
}

/// The memory, as one worker maps it.
pub(crate) struct Memory {
    file: OwnedFd,
    /// Addresses of which the mapping takes most, from a multiple of `PART` on; and how many.
    reserved: (*mut c_void, usize),
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
        let same = number(offset_of!(Header, stride))? == stride(workers, tray_length);
        if worker >= workers || !same || file.metadata()?.len() != length as u64 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let file = OwnedFd::from(file.try_clone()?);
        let reserved = reserve(length + PART)?;
        let start = reserved.map_addr(|address| address.next_multiple_of(PART));
        // SAFETY: these addresses were reserved for that; it is all that the file has.
        let mapped = unsafe {
            let access = libc::PROT_READ | libc::PROT_WRITE;
            let how = libc::MAP_SHARED | libc::MAP_FIXED;
            libc::mmap(start, length, access, how, descriptor, 0)
        };
        let failed = (mapped == libc::MAP_FAILED).then(io::Error::last_os_error);
        let memory = Self {
            file,
            reserved: (reserved, length + PART),
            start: start.cast(),
            length,
            trays,
            tray_length,
            workers,
            worker,
            next: Mutex::new(0),
            populated: AtomicUsize::new(0),
        };
        if let Some(error) = failed {
            return Err(error);
        }
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
            if !self.have(tray) {
                self.populated.store(own.len(), Ordering::Relaxed);
                return false;
            }
        }
        self.populated.store(until, Ordering::Relaxed);
        until < own.len()
    }

    /// Have memory for a tray; return whether there is. If not it comes page by page, as it is used.
    #[cfg(target_os = "linux")]
    fn have(&self, tray: usize) -> bool {
        (0..self.tray_length).step_by(PART).all(|at| {
            let length = PART.min(self.tray_length - at);
            // What fallocate(2) has is not zeroed before it is touched, which is most of the work.
            // SAFETY: a part of a tray of the mapping; no byte of it changes.
            let told = |length, advice| unsafe {
                libc::madvise(self.tray(tray).add(at).cast(), length, advice) == 0
            };
            // There is something in its place only if it has begun.
            let large = told(1, libc::MADV_POPULATE_WRITE) && told(length, MADV_COLLAPSE);
            // If not, there is none for now, or a kernel before 5.14.
            large || told(length, libc::MADV_POPULATE_WRITE)
        })
    }

    /// Give a tray other pages, full of zeros; return whether it has. Those that it had live on as
    /// long as sockets hold them.
    #[cfg(target_os = "linux")]
    fn renew(&self, tray: usize) -> bool {
        let at = self.place_in_file(self.tray(tray));
        let length = off_t::try_from(self.tray_length).unwrap_or(off_t::MAX);
        let how = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        // SAFETY: the descriptor is open; nobody reads the tray.
        if unsafe { libc::fallocate(self.file.as_raw_fd(), how, at, length) } != 0 {
            return false;
        }
        self.have(tray);
        true
    }

    #[cfg(not(target_os = "linux"))]
    fn renew(&self, _: usize) -> bool {
        false
    }

    /// Say whether a tray has pages of its own. The largest may be as long as what one table of
    /// pages maps: 2 MiB, or 512 where a page is of 64 KiB. A part of one that a socket holds is not
    /// given up: it is zeroed where it is.
    fn lends(&self) -> bool {
        let page = page_size();
        self.tray_length
            .is_multiple_of(page * (page / size_of::<u64>()))
    }

    /// Return how many bytes of a tray are copied to sockets before its pages are sent themselves.
    fn worth(&self) -> u64 {
        RENEWAL * self.tray_length as u64
    }

    /// Return where in the file a byte of the mapping is.
    fn place_in_file(&self, byte: *const u8) -> off_t {
        // The file has a length that fits.
        (byte.addr() - self.start.addr()) as off_t
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

    fn take(self: &Arc<Self>, pack: u64, start: u64) -> Option<usize> {
        // Nothing in here panics half-way.
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let own = self.own();
        for _ in own.clone() {
            let tray = own.start + *next;
            *next = (*next + 1) % own.len();
            if !self.clear(tray) {
                continue;
            }
            let label = self.label(tray);
            label.pack.store(pack, Ordering::Relaxed);
            label.start.store(start, Ordering::Relaxed);
            label.end.store(start, Ordering::Release);
            for word in 0..words(self.tray_length) {
                self.checked(tray, word).store(0, Ordering::Relaxed);
            }
            label.state.store(FILLING, Ordering::SeqCst);
            self.prepare(own.start + *next);
            return Some(tray);
        }
        None
    }

    /// Have a tray of this worker say that it holds nothing; return whether it does, and is `CLEARING`.
    fn clear(&self, tray: usize) -> bool {
        let label = self.label(tray);
        // Who counts himself after this sees it; who did so before is seen here.
        let (from, to) = (OPEN, CLEARING);
        let taken = label
            .state
            .compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst);
        if taken.is_err() {
            return false;
        }
        let read = |worker| self.readers(tray, worker).load(Ordering::SeqCst) != 0;
        if (0..self.workers).any(read) || (self.is_lent(tray) && !self.renew(tray)) {
            label.state.store(OPEN, Ordering::SeqCst);
            return false;
        }
        label.end.store(0, Ordering::Release);
        label.sent.store(0, Ordering::SeqCst);
        true
    }

    /// Give the tray that is next other pages meanwhile, if it needs them.
    fn prepare(self: &Arc<Self>, tray: usize) {
        if !self.is_lent(tray) {
            return;
        }
        let memory = self.clone();
        // Where there can be no other thread, who takes the tray does it.
        let _ = Builder::new().spawn(move || {
            if memory.clear(tray) {
                memory.label(tray).state.store(OPEN, Ordering::SeqCst);
            }
        });
    }

    /// Say whether sockets may hold pages of a tray.
    fn is_lent(&self, tray: usize) -> bool {
        self.label(tray).sent.load(Ordering::SeqCst) > self.worth()
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
            libc::munmap(self.reserved.0, self.reserved.1);
        }
    }
}

/// Reserve addresses, where the kernel likes.
fn reserve(length: usize) -> io::Result<*mut c_void> {
    let how = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping, of nothing.
    let start = unsafe { libc::mmap(std::ptr::null_mut(), length, libc::PROT_NONE, how, -1, 0) };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    Ok(start)
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
    let labels = LINE + trays * stride(workers, tray_length);
    labels.next_multiple_of(if tray_length.is_multiple_of(PART) {
        PART
    } else {
        PAGE
    })
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

    /// `length` of these bytes, from `place` on, are about to be sent. Return the file that has them,
    /// and where, for the socket to hold its pages; None if they are better copied.
    pub(crate) fn lend_pages(&self, place: *const u8, length: usize) -> Option<(RawFd, off_t)> {
        let memory = &self.memory;
        if !memory.lends() {
            return None;
        }
        let label = memory.label(self.tray);
        // Who fills the tray looks when there is no reader any more.
        let sent = label.sent.fetch_add(length as u64, Ordering::SeqCst);
        let worth = sent >= memory.worth();
        worth.then(|| (memory.file.as_raw_fd(), memory.place_in_file(place)))
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
        create(length / tray_length, tray_length, workers).map_err(told)
    }
}

#[cfg(target_os = "linux")]
fn create(trays: u64, tray_length: u64, workers: u64) -> io::Result<RawFd> {
    // SAFETY: the name is a text.
    let descriptor = unsafe { libc::memfd_create(c"vna-fresh".as_ptr(), libc::MFD_CLOEXEC) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was opened here.
    let file = unsafe { File::from_raw_fd(descriptor) };
    let size = |number| usize::try_from(number).map_err(io::Error::other);
    let front = front(size(trays)?, size(workers)?, size(tray_length)?) as u64;
    file.set_len(front + trays * tray_length)?;
    let stride = stride(size(workers)?, size(tray_length)?) as u64;
    for (at, number) in [
        (offset_of!(Header, trays), trays),
        (offset_of!(Header, tray_length), tray_length),
        (offset_of!(Header, workers), workers),
        (offset_of!(Header, stride), stride),
    ] {
        file.write_all_at(&number.to_ne_bytes(), at as u64)?;
    }
    Ok(file.into_raw_fd())
}

#[cfg(not(target_os = "linux"))]
fn create(_: u64, _: u64, _: u64) -> io::Result<RawFd> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Fresh>()
}
