use super::*;

/// Reads a page in pieces of several sizes, which must not change what comes of it.
fn read(body: &[u8], limits: PageLimits) -> (Vec<String>, Result<PageEnd, PageError>) {
    let in_pieces = |size: usize| {
        let mut reader = PageReader::new(limits);
        let mut records = Vec::new();
        let read = body.chunks(size).try_for_each(|piece| reader.read(piece, &mut records));
        let end = read.and_then(|()| reader.finish());
        (records.iter().map(|record| record.get().to_owned()).collect::<Vec<_>>(), end)
    };
    let told = |(records, end): &(_, Result<PageEnd, PageError>)| format!("{records:?} {end:?}");
    let whole = in_pieces(body.len().max(1));
    for size in [1, 7, 64] {
        assert_eq!(told(&in_pieces(size)), told(&whole), "in pieces of {size}");
    }
    whole
}

fn end_of(body: &str) -> PageEnd {
    read(body.as_bytes(), PageLimits::default()).1.unwrap()
}

fn error_of(body: &[u8], limits: PageLimits) -> String {
    read(body, limits).1.unwrap_err().to_string()
}

#[test]
fn records_come_in_order_and_as_they_were() {
    let body = r#" { "total":2.50, "recordings" : [ {"id":"a","n":1.50} , null, 7,"x",[ ]
        ], "statusCode" : "0" , "uri":{"recordings":[1]}} "#;
    let (records, end) = read(body.as_bytes(), PageLimits::default());
    assert_eq!(records, [r#"{"id":"a","n":1.50}"#, "null", "7", r#""x""#, "[ ]"]);
    assert_eq!(
        end.unwrap(),
        PageEnd {
            status_code: Some(0),
            status_message: None,
            has_recordings: true,
            link: None,
            keys: ["total", "recordings", "statusCode", "uri"].map(String::from).to_vec(),
            records: 5,
        }
    );
}

#[test]
fn status_is_read_leniently() {
    for (body, code, message) in [
        (r#"{"statusCode":20,"statusMessage":"Not authenticated"}"#, Some(20), "Not authenticated"),
        (r#"{"statusMessage":"a\nb","statusCode":" 7 "}"#, Some(7), "a b"),
        (r#"{"statusCode":null,"statusMessage":null}"#, None, ""),
        (r#"{"statusCode":"x","statusMessage":""}"#, None, ""),
        (r#"{"statusCode":[0],"statusMessage":{"a":1}}"#, None, ""),
        (r#"{}"#, None, ""),
    ] {
        let end = end_of(body);
        assert_eq!(end.status_code, code, "{body}");
        assert_eq!(end.status_message.unwrap_or_default(), message, "{body}");
    }
}

#[test]
fn only_an_array_counts_as_recordings() {
    for (body, has) in [
        (r#"{"recordings":[]}"#, true),
        (r#"{"statusCode":0}"#, false),
        (r#"{"recordings":null}"#, false),
        (r#"{"recordings":{"a":[1,{"b":2}]},"x":1}"#, false),
        (r#"{"recordings":"[]"}"#, false),
        (r#"{"recordings":false}"#, false),
        (r#"{"recordings":-1}"#, false),
        (r#"{"recordings":1.5}"#, false),
        (r#"{"Recordings":[]}"#, false),
        (r#"{"data":{"recordings":[]}}"#, false),
    ] {
        assert_eq!(end_of(body).has_recordings, has, "{body}");
    }
}

#[test]
fn first_link_that_is_not_empty_is_taken() {
    for (body, link) in [
        (r#"{"nextUri":"/a?b=1"}"#, Some("/a?b=1")),
        (r#"{"next":"","paging":{"next":"/p"}}"#, Some("/p")),
        (r#"{"nextUri":"/a","next":"/b"}"#, Some("/a")),
        (r#"{"next":null,"nextUri":" ","paging":{"next":null}}"#, None),
        (r#"{"paging":null,"next":5}"#, None),
        (r#"{"paging":[{"next":"/x"}]}"#, None),
    ] {
        assert_eq!(end_of(body).link.as_deref(), link, "{body}");
    }
}

#[test]
fn what_is_no_page_says_what_it_was() {
    for (body, message) in [
        (&b"<html><body>+1 555 0100</body>"[..], r#"not JSON: begins with "<html""#),
        (b"\r\n <!DOCTYPE html>", r#"not JSON: begins with "<!DOCTYPE""#),
        (b"Service Unavailable", r#"not JSON: begins with "Service""#),
        (b"\x1f\x8b\x08\x00", "not JSON: begins with bytes 1f 8b"),
        (b"[{\"id\":1}]", r#"not a JSON object: begins with "[{""#),
        (b"\"Alice\"", "not a JSON object: begins with bytes 22 41"),
        (b"null", r#"not a JSON object: begins with "null""#),
        (b"", "the JSON breaks off after 0 bytes and 0 records"),
        (b"{\"recordings\":[{},{", "the JSON breaks off after 19 bytes and 1 records"),
        (b"{\"recordings\":[{}]", "the JSON breaks off after 18 bytes and 1 records"),
        (b"{\"recordings\":[{}]}x", "the JSON is broken after 1 records"),
        (b"{\"recordings\":[{}]}{}", "the JSON is broken after 1 records"),
        (b"{\"recordings\":[{}{}]}", "the JSON is broken after 1 records"),
        (b"{\"recordings\":[{\"a\":\"\xff\"}]}", "the JSON is broken after 0 records"),
        (b"{recordings:[]}", "the JSON is broken after 0 records"),
    ] {
        let shown = String::from_utf8_lossy(body);
        assert_eq!(error_of(body, PageLimits::default()), message, "{shown}");
    }
}

#[test]
fn every_truncation_is_an_error() {
    let body = br#"{"statusCode":0,"recordings":[{"id":"a"},{"id":"b"}],"next":"/x"}"#;
    for length in 0..body.len() {
        let end = read(&body[..length], PageLimits::default()).1;
        assert!(matches!(end, Err(PageError::Truncated { .. })), "{length}");
    }
}

#[test]
fn commas_stand_between_members_and_records_only() {
    for body in [
        r#"{"statusCode":0,}"#,
        r#"{,"statusCode":0}"#,
        r#"{"statusCode":0 "next":"/x"}"#,
        r#"{"recordings":[{"id":"a"},]}"#,
        r#"{"recordings":[,{"id":"a"}]}"#,
        r#"{"recordings":[{"id":"a"}{"id":"b"}]}"#,
        r#"{"recordings":[1"a"]}"#,
    ] {
        let end = read(body.as_bytes(), PageLimits::default()).1;
        assert!(matches!(end, Err(PageError::Malformed { .. })), "{body}: {end:?}");
    }
}

#[test]
fn limits_hold_for_every_part_of_a_page() {
    let limits = PageLimits { record_bytes: 1000, page_bytes: 100_000 };
    let long = "x".repeat(1100);
    let value = "the value after 0 records is larger than 1000 bytes";
    for (body, message) in [
        (format!(r#"{{"recordings":[{{"a":"{long}"}}]}}"#), value),
        (format!(r#"{{"{long}":1}}"#), value),
        (format!(r#"{{"statusMessage":"{long}"}}"#), value),
        (format!(r#"{{"recordings":"{long}"}}"#), value),
        (format!(r#"{{"else":{}1{}}}"#, "[".repeat(600), "]".repeat(600)), value),
        (
            format!(r#"{{"recordings":[{}1]}}"#, "{},".repeat(40_000)),
            "the page is larger than 100000 bytes",
        ),
        (" ".repeat(2000), value),
    ] {
        assert_eq!(error_of(body.as_bytes(), limits), message, "{}", &body[..20]);
    }
    let fits = format!(r#"{{"recordings":[{}1]}}"#, format!("\"{}\",", "x".repeat(990)).repeat(50));
    assert_eq!(read(fits.as_bytes(), limits).1.unwrap().records, 51);
}

#[test]
fn limits_stop_the_reading_itself() {
    let limits = PageLimits { record_bytes: 1 << 20, page_bytes: 4 << 20 };
    let mut reader = PageReader::new(limits);
    reader.read(b"{\"recordings\":[\"", &mut Vec::new()).unwrap();
    let piece = vec![b'x'; 1 << 16];
    let failed = (1..).find_map(|pieces| {
        let error = reader.read(&piece, &mut Vec::new()).err()?;
        Some((pieces, error))
    });
    let (pieces, error) = failed.unwrap();
    assert!(matches!(error, PageError::RecordTooLarge { limit_bytes: 1048576, .. }));
    assert!(pieces <= 17, "{pieces}");
}

#[test]
fn names_and_messages_are_bounded() {
    let members: Vec<_> = (0..100).map(|n| format!(r#""{n}{}":1"#, "k".repeat(100))).collect();
    let body = format!(r#"{{"statusMessage":"{}",{}}}"#, "m".repeat(999), members.join(","));
    let end = end_of(&body);
    assert_eq!(end.keys.len(), MAX_KEYS);
    assert!(end.keys.iter().all(|key| key.len() <= MAX_KEY_CHARS));
    assert_eq!(end.status_message.unwrap().len(), MAX_MESSAGE_CHARS);
}

#[test]
fn broken_connection_is_told_with_what_came_before() {
    let mut reader = PageReader::new(PageLimits::default());
    reader.read(b"{\"recordings\":[1,2,", &mut Vec::new()).unwrap();
    match reader.broken(io::ErrorKind::ConnectionReset.into()) {
        PageError::Read { records: 2, source } => {
            assert_eq!(source.kind(), io::ErrorKind::ConnectionReset);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_page_of_large_records_takes_the_memory_of_one() {
    let record = format!(r#",{{"a":"{}"}}"#, "x".repeat(1 << 20));
    let mut reader = PageReader::new(PageLimits::default());
    let mut count = 0;
    let mut read = |bytes: &[u8]| {
        for piece in bytes.chunks(1 << 16) {
            let mut records = Vec::new();
            reader.read(piece, &mut records).unwrap();
            assert!(reader.buffer.len() <= (1 << 20) + (1 << 16));
            count += records.len();
        }
    };
    read(b"{\"recordings\":[{}");
    (0..10).for_each(|_| read(record.as_bytes()));
    read(b"],\"statusCode\":0}");
    assert_eq!((reader.finish().unwrap().records, count), (11, 11));
}
