//! The open sequences and items above an element: a bounded stack in place of recursion.

use crate::dictionary::Context;
use crate::element::Syntax;

use super::values::Standing;

/// Sequences nested deeper than this are not read into.
pub(super) const MAX_DEPTH: usize = 64;
/// The end of what ends with a delimiter, or with the input.
pub(super) const OPEN: u64 = u64::MAX;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Elements are expected: the data set itself, or an item.
    Elements,
    /// Items are expected.
    Items,
}

/// One open level.
#[derive(Clone, Copy)]
pub(super) struct Level {
    pub(super) kind: Kind,
    /// The sequence's tag, for both kinds; 0 for the data set.
    pub(super) tag: u32,
    /// Where it ends in the input, or [`OPEN`].
    pub(super) end: u64,
    /// Where the innermost sequence of defined length around it ends: nothing reaches beyond.
    pub(super) bound: u64,
    pub(super) syntax: Syntax,
    /// Items begun so far, in a sequence.
    pub(super) items: u32,
    /// No element or item was met yet.
    pub(super) fresh: bool,
    pub(super) context: Context,
}

/// The levels, from the data set down to the innermost. Never empty.
pub(super) struct Levels(Vec<Level>);

impl Levels {
    pub(super) fn new(syntax: Syntax) -> Self {
        Levels(vec![Level {
            kind: Kind::Elements,
            tag: 0,
            end: OPEN,
            bound: OPEN,
            syntax,
            items: 0,
            fresh: true,
            context: Context::default(),
        }])
    }

    pub(super) fn top(&self) -> Level {
        self.0[self.0.len() - 1]
    }

    pub(super) fn top_mut(&mut self) -> &mut Level {
        let last = self.0.len() - 1;
        &mut self.0[last]
    }

    pub(super) fn root(&self) -> &Level {
        &self.0[0]
    }

    pub(super) fn is_root(&self) -> bool {
        self.0.len() == 1
    }

    pub(super) fn is_full(&self) -> bool {
        self.0.len() > 2 * MAX_DEPTH
    }

    /// Open a sequence of `length` bytes from `offset`; None where it ends with a delimiter.
    pub(super) fn open_sequence(&mut self, tag: u32, offset: u64, length: Option<u64>) {
        let parent = self.top();
        let end = length.map_or(OPEN, |length| {
            offset.saturating_add(length).min(parent.bound)
        });
        let bound = end.min(parent.bound);
        let kind = Kind::Items;
        self.0.push(Level {
            kind,
            tag,
            end,
            bound,
            items: 0,
            fresh: true,
            ..parent
        });
    }

    /// Open the next item of the sequence that is the top.
    pub(super) fn open_item(&mut self, offset: u64, length: Option<u64>) {
        let sequence = self.top_mut();
        sequence.items = sequence.items.saturating_add(1);
        sequence.fresh = false;
        let sequence = *sequence;
        let end = length.map_or(OPEN, |length| {
            offset.saturating_add(length).min(sequence.bound)
        });
        self.0.push(Level {
            kind: Kind::Elements,
            end,
            fresh: true,
            ..sequence
        });
    }

    /// Close the top; the data set itself stays open.
    pub(super) fn close(&mut self) {
        if self.0.len() > 1 {
            self.0.pop();
        }
    }

    /// Close what ends at or before `offset`.
    pub(super) fn close_ended(&mut self, offset: u64) {
        while offset >= self.top().end.min(self.top().bound) && self.0.len() > 1 {
            self.0.pop();
        }
    }

    /// Close the item and the sequence around it, if that ends with a delimiter.
    pub(super) fn close_open_sequence(&mut self) -> bool {
        let [.., sequence, _] = self.0[..] else {
            return false;
        };
        let open = sequence.kind == Kind::Items && sequence.end == OPEN;
        if open {
            self.0.truncate(self.0.len() - 2);
        }
        open
    }

    pub(super) fn standing(&self) -> Standing {
        match self.0.len() {
            1 => Standing::Top,
            3 => Standing::Item(self.0[2].tag),
            _ => Standing::Deeper,
        }
    }

    /// The path of an element here: sequences and 0-based items above it, then `tag`.
    pub(super) fn path(&self, tag: u32) -> Vec<u32> {
        let sequences = self.0.iter().filter(|level| level.kind == Kind::Items);
        let above = sequences.flat_map(|level| [level.tag, level.items.saturating_sub(1)]);
        above.chain([tag]).collect()
    }
}
