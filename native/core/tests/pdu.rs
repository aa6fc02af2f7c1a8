//! The deframer against streams cut anywhere, and against peers that break the protocol.

use proptest::prelude::*;
use vna_core::pdu::{self, Deframer, Event, Part, pdata};

/// An event with its bytes, as a caller sees it after merging.
#[derive(Clone, Debug, PartialEq)]
enum Seen {
    Control(u8, Vec<u8>),
    Command(u8, Vec<u8>),
    Data(u8, Vec<u8>, bool),
}

fn see(events: Vec<Event>, input: &[u8], seen: &mut Vec<Seen>) {
    for event in events {
        match event {
            Event::Control { kind, pdu } => seen.push(Seen::Control(kind, pdu)),
            Event::Command { context, set } => seen.push(Seen::Command(context, set)),
            Event::Data {
                context,
                runs,
                last,
            } => {
                let bytes: Vec<u8> = runs.into_iter().flat_map(|r| input[r].to_vec()).collect();
                match seen.last_mut() {
                    Some(Seen::Data(open, data, ended)) if *open == context && !*ended => {
                        data.extend(bytes);
                        *ended = last;
                    }
                    _ => seen.push(Seen::Data(context, bytes, last)),
                }
            }
        }
    }
}

fn run(stream: &[u8], cuts: &[usize], max: u32) -> Result<Vec<Seen>, String> {
    let mut deframer = Deframer::new(max);
    let mut seen = Vec::new();
    let mut rest = stream;
    for cut in cuts.iter().copied().chain([stream.len()]) {
        let (piece, after) = rest.split_at(cut.min(rest.len()));
        let events = deframer.feed(piece).map_err(|error| error.to_string())?;
        see(events, piece, &mut seen);
        rest = after;
    }
    Ok(seen)
}

#[derive(Clone, Debug)]
struct Message {
    context: u8,
    command: Vec<u8>,
    data: Option<Vec<u8>>,
    max: u32,
}

fn message() -> impl Strategy<Value = Message> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..300);
    (0u8..128, bytes(), prop::option::of(bytes()), 8u32..120).prop_map(
        |(context, command, data, max)| Message {
            context: context * 2 + 1,
            command,
            data,
            max,
        },
    )
}

fn send(stream: &mut Vec<u8>, context: u8, part: &[u8], command: bool, max: u32) {
    for (header, range) in pdata(context, part.len(), command, true, max).unwrap() {
        stream.extend(header);
        stream.extend(&part[range]);
    }
}

proptest! {
    #[test]
    fn any_cut_gives_the_same_events(
        messages in prop::collection::vec(message(), 0..6),
        cuts in prop::collection::vec(0usize..64, 0..80),
    ) {
        let mut stream = b"\x01\0\0\0\0\x03abc".to_vec();
        let mut sent = vec![Seen::Control(1, stream.clone())];
        for Message { context, command, data, max } in messages {
            send(&mut stream, context, &command, true, max);
            sent.push(Seen::Command(context, command));
            if let Some(data) = data {
                send(&mut stream, context, &data, false, max);
                sent.push(Seen::Data(context, data, true));
            }
        }
        stream.extend(b"\x05\0\0\0\0\x04\0\0\0\0");
        sent.push(Seen::Control(5, b"\x05\0\0\0\0\x04\0\0\0\0".to_vec()));
        prop_assert_eq!(run(&stream, &cuts, 0), Ok(sent));
    }

    #[test]
    fn no_bytes_panic(stream in prop::collection::vec(any::<u8>(), 0..400), cut in 1usize..40) {
        let whole = run(&stream, &[], 100);
        let cuts = vec![cut; stream.len() / cut];
        prop_assert_eq!(run(&stream, &cuts, 100), whole);
    }

    #[test]
    fn likely_bytes_do_not_panic(
        stream in prop::collection::vec(prop::sample::select(vec![0u8, 1, 2, 3, 4, 6, 8]), 0..200),
        cut in 1usize..9,
    ) {
        let whole = run(&stream, &[], 100);
        let cuts = vec![cut; stream.len() / cut];
        prop_assert_eq!(run(&stream, &cuts, 100), whole);
    }
}

fn pdv(context: u8, control: u8, data: &[u8]) -> Vec<u8> {
    let mut bytes = (data.len() as u32 + 2).to_be_bytes().to_vec();
    bytes.extend([context, control]);
    bytes.extend(data);
    bytes
}

fn pdu(pdvs: &[Vec<u8>]) -> Vec<u8> {
    let body = pdvs.concat();
    let mut bytes = vec![4, 0];
    bytes.extend((body.len() as u32).to_be_bytes());
    bytes.extend(body);
    bytes
}

#[test]
fn several_values_in_one_pdu() {
    let stream = pdu(&[
        pdv(3, 3, b"cc"),
        pdv(3, 0, b"aa"),
        pdv(3, 0, b""),
        pdv(3, 2, b"bb"),
    ]);
    let command = Seen::Command(3, b"cc".to_vec());
    let data = Seen::Data(3, b"aabb".to_vec(), true);
    assert_eq!(run(&stream, &[], 0), Ok(vec![command, data]));
}

#[test]
fn a_large_pdu_flows_through_small_pieces() {
    let data = vec![7u8; 3 << 20];
    let mut stream = pdu(&[pdv(1, 3, b"cc")]);
    stream.extend(pdu(&[pdv(1, 2, &data)]));
    let cuts = vec![1000; stream.len() / 1000];
    let command = Seen::Command(1, b"cc".to_vec());
    assert_eq!(
        run(&stream, &cuts, 0),
        Ok(vec![command, Seen::Data(1, data, true)])
    );
}

#[test]
fn breaches_are_refused() {
    let command = pdv(1, 3, b"cc");
    let cases: [(&str, Vec<u8>); 10] = [
        ("agreed are 100", pdu(&[pdv(1, 3, &[0; 200])])),
        ("without a presentation data value", pdu(&[])),
        ("PDU of type 02H", b"\x02\0\x7f\0\0\0".to_vec()),
        (
            "value of 1 bytes",
            b"\x04\0\0\0\0\x06\0\0\0\x01\x01\x03".to_vec(),
        ),
        (
            "over the end",
            b"\x04\0\0\0\0\x06\0\0\0\x03\x01\x03".to_vec(),
        ),
        (
            "within a presentation data value's header",
            b"\x04\0\0\0\0\x05".to_vec(),
        ),
        ("id 2 is not odd", pdu(&[pdv(2, 3, b"cc")])),
        ("without a command set", pdu(&[pdv(1, 2, b"dd")])),
        (
            "without a command set",
            pdu(&[command.clone(), pdv(3, 2, b"dd")]),
        ),
        (
            "before the message in context 1 ended",
            pdu(&[command, pdv(1, 0, b"dd"), pdv(3, 3, b"cc")]),
        ),
    ];
    for (reason, stream) in cases {
        for cuts in [vec![], vec![1; stream.len()]] {
            let error = run(&stream, &cuts, 100).unwrap_err();
            assert!(error.contains(reason), "{error}, not {reason}");
        }
    }
}

#[test]
fn a_command_set_is_bounded() {
    let mut deframer = Deframer::new(0);
    let part = pdu(&[pdv(1, 1, &[0; 65536])]);
    let fed = (0..17).try_for_each(|_| deframer.feed(&part).map(drop));
    assert_eq!(fed.unwrap_err().to_string(), "command set over 1 MiB");
    assert!(deframer.feed(b"").is_err(), "a broken deframer stays so");
}

#[test]
fn sent_fragments_are_even_and_fit() {
    let pdus = pdata(5, 1001, false, true, 107).unwrap();
    assert!(pdus.iter().all(|(_, range)| range.len() <= 101));
    assert!(
        pdus.iter()
            .rev()
            .skip(1)
            .all(|(_, range)| range.len() % 2 == 0)
    );
    assert_eq!(pdus.iter().filter(|(header, _)| header[11] == 2).count(), 1);
    assert_eq!(pdata(5, 0, true, true, 16384).unwrap().len(), 1);
    assert_eq!(pdata(5, 10, false, false, 0).unwrap()[0].0[11], 0);
    assert!(pdata(5, 10, false, true, 7).is_err());
}

proptest! {
    #[test]
    fn a_whole_message_arrives_in_full_pdus(
        command in prop::collection::vec(any::<u8>(), 0..300),
        pieces in prop::collection::vec((prop::collection::vec(any::<u8>(), 1..50), 0usize..9_000), 0..5),
        max in prop::sample::select(vec![0u32, 8, 107, 4096, 16384]),
    ) {
        let pieces: Vec<Vec<u8>> = pieces
            .into_iter()
            .map(|(pattern, length)| pattern.into_iter().cycle().take(length).collect())
            .collect();
        let slices: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let mut stream = Vec::new();
        for part in pdu::message(3, &command, Some(&slices), max).unwrap() {
            match part {
                Part::Made(bytes) => stream.extend(bytes),
                Part::Lent { piece, bytes } => stream.extend(&pieces[piece][bytes]),
            }
        }
        let mut apart = Vec::new();
        send(&mut apart, 3, &command, true, max);
        send(&mut apart, 3, &pieces.concat(), false, max);
        prop_assert_eq!(stream, apart);
    }
}
