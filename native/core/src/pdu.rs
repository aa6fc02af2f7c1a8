//! P-DATA-TF, both ways (PS3.8 9.3.5 and Annex E): a deframer for what a peer sends, headers for
//! what we send.
//!
//! The deframer takes every byte it is given: no more than a header is ever kept back, so a
//! receive buffer of any fixed size serves PDUs of any length. Bytes of data sets are not copied;
//! events point at them. Only commands and control PDUs are gathered, each up to a bound.

use std::fmt;
use std::ops::Range;

/// P-DATA-TF (PS3.8 9.3.5).
const P_DATA: u8 = 0x04;
/// Bytes of a PDU header, and by chance those of a PDV header: length, context id, control.
const HEADER: usize = 6;
/// The longest PDU taken when no maximum was negotiated.
const UNLIMITED: u32 = 16 << 20;
/// The longest PDU of another type taken; A-ASSOCIATE-RQ with 128 contexts is some 30 KiB.
const MAX_CONTROL: u32 = 1 << 20;
/// The longest command set taken.
const MAX_COMMAND: usize = 1 << 20;
/// The longest PDU sent to a peer that takes any length.
const SEND_UNLIMITED: u32 = 1 << 20;

/// A peer broke the upper layer protocol; says how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtocolError(String);

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ProtocolError {}

pub(crate) fn refuse<T>(reason: impl Into<String>) -> Result<T, ProtocolError> {
    Err(ProtocolError(reason.into()))
}

/// What a peer sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A whole PDU other than P-DATA-TF, its header included.
    Control {
        /// The PDU type; not checked to be one that exists.
        kind: u8,
        /// The bytes.
        pdu: Vec<u8>,
    },
    /// A whole command set.
    Command {
        /// The presentation context id.
        context: u8,
        /// The bytes.
        set: Vec<u8>,
    },
    /// A part of a data set: adjacent fragments of one context together.
    Data {
        /// The presentation context id.
        context: u8,
        /// Where the bytes are in the input that [`Deframer::feed`] was given, in order.
        runs: Vec<Range<usize>>,
        /// The data set ends with this part.
        last: bool,
    },
}

#[derive(Debug)]
enum State {
    PduHeader,
    Control { left: usize },
    PdvHeader,
    Fragment { left: usize },
}

#[derive(Clone, Copy, Debug, Default)]
struct Fragment {
    context: u8,
    command: bool,
    last: bool,
}

/// Takes what a peer sends, in pieces of any size.
#[derive(Debug)]
pub struct Deframer {
    max_pdu_length: u32,
    state: State,
    header: [u8; HEADER],
    header_filled: usize,
    /// Bytes of the P-DATA-TF that follow the PDV at hand.
    pdu_left: usize,
    fragment: Fragment,
    gathered: Vec<u8>,
    /// The message part that has begun and not ended: its context, and whether it is a command.
    open: Option<(u8, bool)>,
    /// The context of a command set that a data set may follow.
    commanded: Option<u8>,
    broken: Option<ProtocolError>,
}

impl Deframer {
    /// Refuse P-DATA-TF PDUs longer than `max_pdu_length` (0: 16 MiB).
    pub fn new(max_pdu_length: u32) -> Self {
        Self {
            max_pdu_length: if max_pdu_length == 0 {
                UNLIMITED
            } else {
                max_pdu_length
            },
            state: State::PduHeader,
            header: [0; HEADER],
            header_filled: 0,
            pdu_left: 0,
            fragment: Fragment::default(),
            gathered: Vec::new(),
            open: None,
            commanded: None,
            broken: None,
        }
    }

    /// Take all of `input` and return what it completed. After an error every call fails.
    pub fn feed(&mut self, input: &[u8]) -> Result<Vec<Event>, ProtocolError> {
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        let mut events = Vec::new();
        match self.take(input, &mut events) {
            Ok(()) => Ok(events),
            Err(error) => {
                self.broken = Some(error.clone());
                Err(error)
            }
        }
    }

    fn take(&mut self, input: &[u8], events: &mut Vec<Event>) -> Result<(), ProtocolError> {
        let mut at = 0;
        while at < input.len() {
            let rest = &input[at..];
            match self.state {
                State::PduHeader => {
                    at += self.fill_header(rest);
                    if self.header_filled == HEADER {
                        self.begin_pdu(events)?;
                    }
                }
                State::PdvHeader => {
                    at += self.fill_header(rest);
                    if self.header_filled == HEADER {
                        self.begin_fragment(at, events)?;
                    }
                }
                State::Control { left } => {
                    let taken = left.min(rest.len());
                    self.gathered.extend_from_slice(&rest[..taken]);
                    at += taken;
                    self.control(left - taken, events);
                }
                State::Fragment { left } => {
                    let taken = left.min(rest.len());
                    self.fragment(at..at + taken, &rest[..taken], left - taken, events)?;
                    at += taken;
                }
            }
        }
        Ok(())
    }

    fn fill_header(&mut self, rest: &[u8]) -> usize {
        let taken = (HEADER - self.header_filled).min(rest.len());
        self.header[self.header_filled..][..taken].copy_from_slice(&rest[..taken]);
        self.header_filled += taken;
        taken
    }

    /// PS3.8 9.3.1: type, reserved, length.
    fn begin_pdu(&mut self, events: &mut Vec<Event>) -> Result<(), ProtocolError> {
        self.header_filled = 0;
        let [kind, _, length @ ..] = self.header;
        let length = u32::from_be_bytes(length);
        if kind == P_DATA {
            if length > self.max_pdu_length {
                let max = self.max_pdu_length;
                return refuse(format!("P-DATA-TF of {length} bytes, agreed are {max}"));
            }
            if length == 0 {
                return refuse("P-DATA-TF without a presentation data value");
            }
            self.pdu_left = length as usize;
            return self.next_fragment();
        }
        if length > MAX_CONTROL {
            return refuse(format!("PDU of type {kind:02X}H of {length} bytes"));
        }
        self.gathered.clear();
        self.gathered.extend_from_slice(&self.header);
        self.control(length as usize, events);
        Ok(())
    }

    fn control(&mut self, left: usize, events: &mut Vec<Event>) {
        if left > 0 {
            self.state = State::Control { left };
            return;
        }
        let pdu = std::mem::take(&mut self.gathered);
        events.push(Event::Control { kind: pdu[0], pdu });
        self.state = State::PduHeader;
        // A control PDU ends whatever message was under way; A-ABORT does so lawfully.
        (self.open, self.commanded) = (None, None);
    }

    fn next_fragment(&mut self) -> Result<(), ProtocolError> {
        self.state = match self.pdu_left {
            0 => State::PduHeader,
            1..HEADER => return refuse("P-DATA-TF ends within a presentation data value's header"),
            _ => State::PdvHeader,
        };
        Ok(())
    }

    /// PS3.8 9.3.5.1 and E.2: length of what follows it, context id, message control header.
    fn begin_fragment(&mut self, at: usize, events: &mut Vec<Event>) -> Result<(), ProtocolError> {
        self.header_filled = 0;
        let [length @ .., context, control] = self.header;
        let length = u32::from_be_bytes(length) as usize;
        if length < 2 {
            return refuse(format!("presentation data value of {length} bytes"));
        }
        if length > self.pdu_left - 4 {
            return refuse("presentation data value runs over the end of its PDU");
        }
        if context % 2 == 0 {
            return refuse(format!("presentation context id {context} is not odd"));
        }
        self.pdu_left -= 4 + length;
        self.fragment = Fragment {
            context,
            command: control & 1 != 0,
            last: control & 2 != 0,
        };
        self.in_order()?;
        self.fragment(at..at, &[], length - 2, events)
    }

    /// A message is a command set, then perhaps a data set, all in one context; fragments of
    /// different messages do not mix (PS3.7 6.3.1, PS3.8 E.1).
    fn in_order(&mut self) -> Result<(), ProtocolError> {
        let Fragment {
            context,
            command,
            last,
        } = self.fragment;
        match self.open {
            Some(open) if open != (context, command) => {
                let (begun, _) = open;
                return refuse(format!(
                    "fragment in context {context} before the message in context {begun} ended"
                ));
            }
            None if command => self.gathered.clear(),
            None if self.commanded != Some(context) => {
                return refuse(format!(
                    "data set in context {context} without a command set"
                ));
            }
            _ => {}
        }
        self.open = (!last).then_some((context, command));
        self.commanded = command.then_some(context);
        Ok(())
    }

    /// Take `bytes`, at `run` of the input, of the fragment at hand, after which `left` bytes of it are to come.
    fn fragment(
        &mut self,
        run: Range<usize>,
        bytes: &[u8],
        left: usize,
        events: &mut Vec<Event>,
    ) -> Result<(), ProtocolError> {
        let Fragment {
            context,
            command,
            last,
        } = self.fragment;
        if command {
            if self.gathered.len() + bytes.len() > MAX_COMMAND {
                return refuse("command set over 1 MiB");
            }
            self.gathered.extend_from_slice(bytes);
            if last && left == 0 {
                let set = std::mem::take(&mut self.gathered);
                events.push(Event::Command { context, set });
            }
        } else {
            push_data(events, context, run, last && left == 0);
        }
        if left > 0 {
            self.state = State::Fragment { left };
            return Ok(());
        }
        self.next_fragment()
    }
}

fn push_data(events: &mut Vec<Event>, context: u8, run: Range<usize>, last: bool) {
    if run.is_empty() && !last {
        return;
    }
    if let Some(Event::Data {
        context: open,
        runs,
        last: ended,
    }) = events.last_mut()
        && *open == context
        && !*ended
    {
        if !run.is_empty() {
            runs.push(run);
        }
        *ended = last;
        return;
    }
    let runs = if run.is_empty() { vec![] } else { vec![run] };
    events.push(Event::Data {
        context,
        runs,
        last,
    });
}

/// A P-DATA-TF with one presentation data value: its 12 header bytes, and the range of the message
/// part that follows them.
pub type PData = ([u8; 12], Range<usize>);

/// The P-DATA-TF PDUs that carry a message part of `length` bytes. The last one is marked so if `last`.
///
/// `max_pdu_length` is the peer's: bytes after the PDU header (PS3.8 D.1), 0 for any.
pub fn pdata(
    context: u8,
    length: usize,
    command: bool,
    last: bool,
    max_pdu_length: u32,
) -> Result<Vec<PData>, ProtocolError> {
    let max = match max_pdu_length {
        0 => SEND_UNLIMITED,
        // Length, context id, control and the least even fragment.
        1..8 => return refuse(format!("no message fits in PDUs of {max_pdu_length} bytes")),
        _ => max_pdu_length.min(UNLIMITED),
    };
    // Fragments have an even length (PS3.8 E.1).
    let step = (max as usize - HEADER) & !1;
    let mut pdus = Vec::with_capacity(length.div_ceil(step).max(1));
    let mut start = 0;
    loop {
        let end = length.min(start + step);
        let size = (end - start) as u32;
        let control = u8::from(command) | u8::from(last && end == length) << 1;
        let mut header = [P_DATA, 0, 0, 0, 0, 0, 0, 0, 0, 0, context, control];
        header[2..6].copy_from_slice(&(size + 6).to_be_bytes());
        header[6..10].copy_from_slice(&(size + 2).to_be_bytes());
        pdus.push((header, start..end));
        if end == length {
            return Ok(pdus);
        }
        start = end;
    }
}

/// Pieces of a data set up to this length are copied: that costs less than to send them apart.
const COPIED: usize = 4096;

/// Bytes of a message on their way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Bytes made for it: headers, the command set, small pieces.
    Made(Vec<u8>),
    /// Bytes of the data set where they lie.
    Lent {
        /// Number of the piece.
        piece: usize,
        /// Bytes of it.
        bytes: Range<usize>,
    },
}

/// The P-DATA-TF PDUs that carry a whole message: a command set, and a data set if there is one.
///
/// PDUs are filled across pieces. `max_pdu_length` is as for `pdata`.
pub fn message(
    context: u8,
    command: &[u8],
    pieces: Option<&[&[u8]]>,
    max_pdu_length: u32,
) -> Result<Vec<Part>, ProtocolError> {
    let mut parts = Vec::new();
    let mut made = Vec::with_capacity(2 * COPIED);
    for (header, range) in pdata(context, command.len(), true, true, max_pdu_length)? {
        made.extend_from_slice(&header);
        made.extend_from_slice(&command[range]);
    }
    let pieces = pieces.map(|pieces| (pieces, pieces.iter().map(|piece| piece.len()).sum()));
    if let Some((pieces, length)) = pieces {
        let mut piece = 0;
        let mut at = 0;
        for (header, range) in pdata(context, length, false, true, max_pdu_length)? {
            made.extend_from_slice(&header);
            let mut left = range.len();
            while left > 0 {
                if at == pieces[piece].len() {
                    (piece, at) = (piece + 1, 0);
                    continue;
                }
                let end = pieces[piece].len().min(at + left);
                left -= end - at;
                if end - at <= COPIED {
                    made.extend_from_slice(&pieces[piece][at..end]);
                } else {
                    parts.push(Part::Made(std::mem::take(&mut made)));
                    parts.push(Part::Lent {
                        piece,
                        bytes: at..end,
                    });
                }
                at = end;
            }
        }
    }
    if !made.is_empty() {
        parts.push(Part::Made(made));
    }
    Ok(parts)
}
