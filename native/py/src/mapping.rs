//! Files mapped for reading, of which only what is in memory is looked at.
//!
//! To touch a page that is not there waits for the disk, and kills the process where the disk fails.
//! So the kernel is asked before: mincore(2) counts no page whose last read failed.
//!
//! Nobody can drop a page from memory while it is mapped, but recovery must after a sync that failed
//! (docs/design/commit.md). So the end of a file, which may not be synced yet, is left alone.

use std::ffi::c_int;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A file is mapped in multiples of this, so that one that grows is seldom mapped anew.
const STEP: u64 = 1 << 30;

/// The kernel keeps files in runs of up to so many pages, aligned, and drops all of a run or nothing.
const RUN: u64 = 1 << 11;

/// A file that is mapped when that is first wanted.
#[derive(Default)]
pub(crate) struct Mapped {
    state: Mutex<State>,
    /// Before this all is synced.
    synced: AtomicU64,
}

#[derive(Default)]
enum State {
    #[default]
    Untried,
    Refused,
    Mapped(Arc<Mapping>),
}

/// Whether the page cache has some bytes.
pub(crate) enum Presence {
    Pages(Pages),
    /// It has, too near the end of what is synced for a view.
    Near,
    /// It has not all of them, or the file ends before.
    Absent,
    /// The kernel tells only the owner of a file.
    Unknown,
}

/// Bytes of a mapping, which lives as long.
pub(crate) struct Pages {
    mapping: Arc<Mapping>,
    offset: usize,
    length: usize,
}

impl Pages {
    /// Return where the bytes are, and how many.
    pub(crate) fn place(&self) -> (*const u8, usize) {
        // SAFETY: `Mapped::look` saw to it that they are inside.
        (unsafe { self.mapping.start.add(self.offset) }, self.length)
    }

    /// Return the file that has the byte at `place` of these, and where; None if it could not be
    /// opened.
    pub(crate) fn in_file(&self, place: *const u8) -> Option<(RawFd, libc::off_t)> {
        let file = self.mapping.file.as_ref()?;
        // A file has a length that fits.
        let at = (place.addr() - self.mapping.start.addr()) as libc::off_t;
        Some((file.as_raw_fd(), at))
    }
}

impl Mapped {
    /// Say that the file is synced up to `end`.
    pub(crate) fn synced(&self, end: u64) {
        self.synced.fetch_max(end, Ordering::Relaxed);
    }

    /// Say whether the page cache has all of some bytes of the file. Reads nothing ahead.
    pub(crate) fn look(
        &self,
        descriptor: c_int,
        offset: u64,
        length: usize,
    ) -> io::Result<Presence> {
        let file = Stat::of(descriptor)?;
        let Some(end) = offset
            .checked_add(length as u64)
            .filter(|&end| end <= file.size)
        else {
            return Ok(Presence::Absent);
        };
        let Some(mapping) = self.mapping(descriptor, &file, end) else {
            return Ok(Presence::Unknown);
        };
        let Ok(offset) = usize::try_from(offset) else {
            return Ok(Presence::Unknown);
        };
        if !mapping.has(offset, length) {
            return Ok(Presence::Absent);
        }
        let synced = self.synced.load(Ordering::Relaxed);
        if end > synced - synced % (RUN * page_size() as u64) {
            return Ok(Presence::Near);
        }
        Ok(Presence::Pages(Pages {
            mapping,
            offset,
            length,
        }))
    }

    fn mapping(&self, descriptor: c_int, file: &Stat, end: u64) -> Option<Arc<Mapping>> {
        // Nothing in here panics half-way.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &*state {
            State::Mapped(mapping) if end <= mapping.length as u64 => {
                return Some(mapping.clone());
            }
            State::Refused => return None,
            _ => {}
        }
        // SAFETY: geteuid has no conditions.
        let made = if file.owner == unsafe { libc::geteuid() } {
            Mapping::of(descriptor, file.size).map(Arc::new)
        } else {
            None
        };
        *state = made.clone().map_or(State::Refused, State::Mapped);
        made
    }
}

pub(crate) fn page_size() -> usize {
    // SAFETY: sysconf has no conditions.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).expect("every system has pages")
}

struct Stat {
    size: u64,
    owner: libc::uid_t,
}

impl Stat {
    fn of(descriptor: c_int) -> io::Result<Self> {
        let mut found = std::mem::MaybeUninit::<libc::stat>::uninit();
        // SAFETY: the kernel fills what it is given, or fails.
        if unsafe { libc::fstat(descriptor, found.as_mut_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: it was filled.
        let found = unsafe { found.assume_init() };
        Ok(Self {
            size: u64::try_from(found.st_size).unwrap_or(0),
            owner: found.st_uid,
        })
    }
}

struct Mapping {
    /// The file, opened anew.
    file: Option<File>,
    start: *const u8,
    length: usize,
}

// SAFETY: the memory is only read, by anybody, and unmapped by the last owner.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Map a file of `size` bytes from its begin, with room to grow. None where that cannot be.
    #[cfg(target_os = "linux")]
    fn of(descriptor: c_int, size: u64) -> Option<Self> {
        let length = usize::try_from(size.max(1).next_multiple_of(STEP)).ok()?;
        // What is mapped stays open. Were that the owner's, the file would stay locked when he closes it.
        let file = File::open(format!("/proc/self/fd/{descriptor}")).ok();
        let mapped = file.as_ref().map_or(descriptor, AsRawFd::as_raw_fd);
        // SAFETY: a new mapping, where the kernel likes. What lies past the end of the file is not
        // touched: `has` says that it is not there.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ,
                libc::MAP_SHARED,
                mapped,
                0,
            )
        };
        (start != libc::MAP_FAILED).then(|| Self {
            file,
            start: start.cast_const().cast(),
            length,
        })
    }

    #[cfg(not(target_os = "linux"))]
    fn of(_: c_int, _: u64) -> Option<Self> {
        None
    }

    /// Say whether bytes of the mapping are in memory, sound ones.
    #[cfg(target_os = "linux")]
    fn has(&self, offset: usize, length: usize) -> bool {
        let page = page_size();
        let mut pages = [0_u8; 512];
        let end = offset + length;
        let mut at = offset - offset % page;
        while at < end {
            let count = (end - at).div_ceil(page).min(pages.len());
            // SAFETY: these are pages of the mapping, and there is a byte for each.
            let told = unsafe {
                libc::mincore(
                    self.start.add(at).cast_mut().cast(),
                    count * page,
                    pages.as_mut_ptr(),
                )
            };
            if told != 0 || pages[..count].iter().any(|page| page & 1 == 0) {
                return false;
            }
            at += count * page;
        }
        true
    }

    #[cfg(not(target_os = "linux"))]
    fn has(&self, _: usize, _: usize) -> bool {
        false
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `of`, and nobody has a part of it any more.
        unsafe {
            libc::munmap(self.start.cast_mut().cast(), self.length);
        }
    }
}
