//! The end of a growing file in memory, in whole blocks: direct writes ask for that.

use std::fs::File;
use std::io;
use std::mem::take;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::append::BLOCK;
use crate::copy::copy_past_caches;
use crate::fresh::{Filling, Memory};

/// Bytes of a window that nobody else looks at.
const OWN: usize = 4 << 20;
/// A page of the larger kind: where memory has them, the kernel looks up two pages for a write, not
/// a thousand.
const HUGE_PAGE: usize = 2 << 20;

/// Memory for some bytes of a file from `base` on; the first `end` are there, up to `written` they
/// are in the file too.
///
/// It goes on from one append to the next, so that the last block, which is written again with what
/// follows, need not be read. Where the workers of an archive share memory, it is a part of that.
pub(crate) struct Window {
    room: Room,
    base: u64,
    end: usize,
    written: usize,
    /// Where the last append ended, if all of it is in the file.
    ended: Option<u64>,
    /// What became full since the last sync, and where in the file that is.
    full: Vec<(Filling, u64)>,
    fresh: Option<(Arc<Memory>, u64)>,
}

enum Room {
    Own(Vec<u8>),
    Shared(Filling),
}

impl Window {
    /// `fresh` is the memory that is shared, and which pack the file is.
    pub(crate) fn new(fresh: Option<(Arc<Memory>, u64)>) -> Self {
        Self {
            room: Room::Own(Vec::new()),
            base: 0,
            end: 0,
            written: 0,
            ended: None,
            full: Vec::new(),
            fresh,
        }
    }

    /// Begin an append of `length` bytes at `offset`, in one piece if that is possible.
    pub(crate) fn begin(&mut self, offset: u64, length: usize, file: &File) -> io::Result<()> {
        let rest = (offset % BLOCK as u64) as usize;
        let follows = take(&mut self.ended) == Some(offset);
        let shares = self.fresh.is_none() || matches!(self.room, Room::Shared(_));
        if follows && shares && self.end + length <= self.place().1 {
            return Ok(());
        }
        let mut block = [0; BLOCK];
        if follows {
            block[..rest].copy_from_slice(self.bytes(self.end - rest, self.end));
        } else {
            file.read_exact_at(&mut block[..rest], offset - rest as u64)?;
        }
        self.turn(offset - rest as u64);
        self.take(&block[..rest]);
        Ok(())
    }

    /// Take bytes while there is room; return those that are left.
    pub(crate) fn take<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let (start, capacity) = self.place();
        let (now, later) = bytes.split_at(bytes.len().min(capacity - self.end));
        // SAFETY: there is room, and nobody else looks at what is not published.
        let room = unsafe { std::slice::from_raw_parts_mut(start.add(self.end), now.len()) };
        copy_past_caches(room, now);
        self.end += now.len();
        later
    }

    /// Return what the file lacks, zeros to the end of the last block behind it, and its place.
    pub(crate) fn blocks(&mut self) -> (u64, &[u8]) {
        let whole = self.end.next_multiple_of(BLOCK);
        // SAFETY: the capacity is a multiple of a block, and as above.
        unsafe {
            self.place()
                .0
                .add(self.end)
                .write_bytes(0, whole - self.end);
        }
        let offset = self.base + self.written as u64;
        (offset, self.bytes(self.written, whole))
    }

    /// Say that the file has what `blocks` returned; where the window is full, turn to what follows.
    pub(crate) fn wrote(&mut self) {
        self.written = self.end - self.end % BLOCK;
        self.ended = Some(self.base + self.end as u64);
        if self.end == self.place().1 {
            self.turn(self.base + self.end as u64);
        }
    }

    /// Say that the file is synced: what is shared may be read.
    pub(crate) fn publish(&mut self) {
        for (filling, end) in self.full.drain(..) {
            filling.publish(end);
        }
        if let Room::Shared(filling) = &self.room {
            filling.publish(self.base + self.end as u64);
        }
    }

    /// Turn to the bytes of the file from `base` on.
    fn turn(&mut self, base: u64) {
        let end = self.base + self.end as u64;
        let fresh = self
            .fresh
            .as_ref()
            .and_then(|(memory, pack)| memory.fill(*pack, base));
        let room = match (fresh, &mut self.room) {
            (Some(filling), _) => Room::Shared(filling),
            (None, Room::Own(memory)) if !memory.is_empty() => Room::Own(take(memory)),
            (None, _) => Room::Own(own()),
        };
        if let Room::Shared(filling) = std::mem::replace(&mut self.room, room) {
            self.full.push((filling, end));
        }
        (self.base, self.end, self.written) = (base, 0, 0);
    }

    fn place(&self) -> (*mut u8, usize) {
        match &self.room {
            Room::Shared(filling) => filling.place(),
            Room::Own(memory) if memory.is_empty() => (std::ptr::dangling_mut(), 0),
            Room::Own(memory) => {
                let skip = memory.as_ptr().align_offset(HUGE_PAGE);
                // SAFETY: there is a page more than the window takes.
                (unsafe { memory.as_ptr().add(skip).cast_mut() }, OWN)
            }
        }
    }

    fn bytes(&self, start: usize, end: usize) -> &[u8] {
        // SAFETY: of the window's memory, and written before.
        unsafe { std::slice::from_raw_parts(self.place().0.add(start), end - start) }
    }
}

/// Return zeros, of which `OWN` lie in large pages from where these begin, if the kernel has any.
fn own() -> Vec<u8> {
    let memory = vec![0; OWN + HUGE_PAGE];
    #[cfg(target_os = "linux")]
    // SAFETY: the range is within the memory, and its content stays. It is advice: an error is no
    // matter.
    unsafe {
        let skip = memory.as_ptr().align_offset(HUGE_PAGE);
        let place = memory.as_ptr().add(skip).cast_mut().cast();
        libc::madvise(place, OWN, libc::MADV_HUGEPAGE);
    }
    memory
}
