use super::*;

fn frames(bytes: &[u8]) -> Result<Vec<WireFrame>, Breach> {
    let mut reader = FrameReader::default();
    reader.push(bytes);
    let mut frames = Vec::new();
    while let Some(frame) = reader.next_frame()? {
        frames.push(frame);
    }
    Ok(frames)
}

#[test]
fn frames_come_out_whole_however_the_bytes_come() {
    let mut bytes = Vec::new();
    put_frame(&mut bytes, FrameKind::Data, &[7; 300]);
    put_frame(&mut bytes, FrameKind::KeepAlive, &[]);
    put_message(&mut bytes, &MirrorAsk::Make);
    put_frame(&mut bytes, FrameKind::End, &[]);
    let whole = frames(&bytes).unwrap();
    assert_eq!(whole.len(), 4);
    for step in [1, 2, 5, 7, 304, 305, 306] {
        let mut reader = FrameReader::default();
        let mut found = Vec::new();
        for piece in bytes.chunks(step) {
            reader.push(piece);
            while let Some(frame) = reader.next_frame().unwrap() {
                found.push(frame);
            }
        }
        assert_eq!(found, whole, "in pieces of {step}");
        assert!(reader.rest().is_empty());
    }
}

#[test]
fn a_length_is_refused_before_its_bytes_come() {
    for (bytes, what) in [
        (*b"d\x01\x00\x04\x00", "a frame of 262145 bytes"),
        (*b"m\xff\xff\xff\xff", "a frame of 4294967295 bytes"),
        (*b"k\x01\x00\x00\x00", "a frame of 1 bytes of its kind"),
        (*b"d\x00\x00\x00\x00", "a frame of 0 bytes of its kind"),
        (*b"\x00\x00\x00\x00\x00", "a frame of the kind 0"),
    ] {
        assert_eq!(frames(&bytes), Err(Breach::of(what)));
    }
    assert_eq!(frames(b"d\x00\x00\x04\x00"), Ok(Vec::new()));
}

#[test]
fn a_message_is_read_from_its_parts_and_not_beyond_its_limit() {
    let copy = RecordedCopy {
        uuid: Uuid([3; 16]),
        ctransid: 9,
    };
    let ask = MirrorAsk::Standing(vec![copy; 10_000]);
    let mut bytes = Vec::new();
    put_message(&mut bytes, &ask);
    let read = |limit| {
        let mut reader = MessageReader::new(limit);
        for frame in frames(&bytes).unwrap() {
            if let Some(message) = reader.push::<MirrorAsk>(&frame)? {
                return Ok(message);
            }
        }
        panic!("it has an end");
    };
    assert!(frames(&bytes).unwrap().len() > 2);
    assert_eq!(read(MAX_LISTING), Ok(ask));
    let refused = Breach::of("a message of more than 300000 bytes");
    assert_eq!(read(300_000), Err(refused));
}

#[test]
fn a_message_with_a_name_that_is_a_path_or_with_more_than_it_has_is_none() {
    for json in [
        r#"{"open":{"protocol":1,"source":"../etc"}}"#,
        r#"{"open":{"protocol":1,"source":"a/b"}}"#,
        r#"{"open":{"protocol":1,"source":"."}}"#,
        r#"{"open":{"protocol":1,"source":"home","path":"/"}}"#,
        r#"{"open":{"protocol":-1,"source":"home"}}"#,
        r#"{"delete":["2026-11-29"]}"#,
        r#"{"prune":["../2026-11-29"]}"#,
        r#""make"x"#,
        r#"{"receive":{"name":"../x","stream_uuid":"6f9619ff-8b86-4011-b42d-00cf4fc964ff","ctransid":1,"parent":null}}"#,
    ] {
        let mut bytes = Vec::new();
        put_frame(&mut bytes, FrameKind::Message, json.as_bytes());
        let frame = frames(&bytes).unwrap().remove(0);
        let read = MessageReader::new(MAX_MESSAGE).push::<MirrorAsk>(&frame);
        assert!(read.is_err(), "{json}: {read:?}");
    }
}

#[test]
fn a_greeting_is_told_from_what_a_shell_prints() {
    let line = greeting("0.9.1");
    let expected = Greeting::Versions(PROTOCOL, "0.9.1".to_owned(), line.len());
    assert_eq!(read_greeting(line.as_bytes()), expected);
    for end in 0..line.len() {
        let part = &line.as_bytes()[..end];
        assert_eq!(read_greeting(part), Greeting::Incomplete, "{end}");
    }
    for said in [
        "Welcome to nas!\n",
        "coldchain-mirror one 2\n",
        "cold\n",
        "\n",
    ] {
        let expected = Greeting::SaidBefore(said.trim().to_owned());
        assert_eq!(read_greeting(said.as_bytes()), expected);
    }
    let endless = [GREETING.as_bytes(), &[b'1'; MAX_GREETING]].concat();
    assert!(matches!(read_greeting(&endless), Greeting::SaidBefore(_)));
}
