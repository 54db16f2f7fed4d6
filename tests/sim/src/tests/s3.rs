//! The object store, asked with real signatures.

use super::client::{Answer, Signed, ask};
use super::{all_media, path, small};
use crate::envelope::Cipher;
use crate::s3::{Algorithm, ETagKind, WrongRegion};
use crate::world::Bucket;
use crate::{Form, Media, Sim, WorldSpec};

#[test]
fn every_object_of_the_world_is_served_byte_for_byte_to_signed_requests() {
    for form in
        [Form::Attached, Form::AttachedBer, Form::Detached, Form::Plain, Form::Garbage, Form::Empty]
    {
        let sim = Sim::of(WorldSpec {
            recordings: 8,
            screen_share: 0.5,
            forms: vec![form],
            ..WorldSpec::default()
        });
        for media in all_media(&sim) {
            let answer = Signed::get(&path(&media)).send(&sim);
            assert_eq!((answer.status, answer.whole), (200, true), "{}", answer.text());
            assert_eq!(answer.body, sim.world().expected_object(&media.bucket, &media.key));
            let md5 = crate::s3::md5_hex(&media.object().unwrap());
            assert_eq!(answer.header("etag"), Some(format!("\"{md5}\"").as_str()));
        }
    }
}

#[test]
fn ranges_conditions_and_heads_are_answered_as_s3_does() {
    let sim = small();
    let media = all_media(&sim).into_iter().find(Media::is_screen).unwrap();
    let path = path(&media);
    let whole = sim.world().expected_object(&media.bucket, &media.key);
    let etag = Signed::get(&path).send(&sim).header("etag").unwrap().to_owned();
    let range = |range| Signed::get(&path).with("Range", range).send(&sim);
    let answer = range("bytes=10-19");
    assert_eq!((answer.status, answer.body.as_slice()), (206, &whole[10..20]));
    assert_eq!(
        answer.header("content-range"),
        Some(format!("bytes 10-19/{}", whole.len()).as_str())
    );
    assert_eq!(range("bytes=-5").body, whole[whole.len() - 5..]);
    assert_eq!(range("bytes=99999999-").status, 416);
    assert_eq!(Signed::get(&path).with("If-Match", &etag).send(&sim).status, 200);
    assert_eq!(Signed::get(&path).with("If-Match", "\"0\"").send(&sim).status, 412);
    assert_eq!(Signed::get(&path).with("If-None-Match", &etag).send(&sim).status, 304);
    let head = Signed { method: "HEAD", ..Signed::get(&path) }.send(&sim);
    assert_eq!(head.status, 200);
    assert_eq!(head.header("content-length"), Some(whole.len().to_string().as_str()));
    assert!(head.body.is_empty());
}

#[test]
fn s3_refuses_with_the_codes_of_aws() {
    let sim = small();
    let media = all_media(&sim).remove(0);
    let path = path(&media);
    let get = || Signed::get(&path);
    let cases: [(&str, Answer, u16); 6] = [
        ("InvalidAccessKeyId", Signed { access_key: "AKIANOBODY", ..get() }.send(&sim), 403),
        ("SignatureDoesNotMatch", Signed { secret_key: "wrong", ..get() }.send(&sim), 403),
        ("RequestTimeTooSkewed", Signed { minutes_off: -20, ..get() }.send(&sim), 403),
        ("AuthorizationHeaderMalformed", Signed { region: "eu-west-1", ..get() }.send(&sim), 400),
        ("NoSuchBucket", Signed::get("/no-such-bucket/x").send(&sim), 404),
        ("NoSuchKey", Signed::get("/recordings-usw1/x").send(&sim), 404),
    ];
    for (code, answer, status) in cases {
        assert_eq!(answer.status, status, "{code}: {}", answer.text());
        assert!(
            answer.text().contains(&format!("<Code>{code}</Code>")),
            "{code}: {}",
            answer.text()
        );
    }
    assert_eq!(ask(&sim.s3_endpoint(), "GET", &path.replace('+', "%2B"), &[]).status, 403);

    sim.s3(|s3| s3.wrong_region = WrongRegion::Redirect);
    let moved = Signed { region: "eu-west-1", ..get() }.send(&sim);
    assert_eq!((moved.status, moved.header("x-amz-bucket-region")), (301, Some("us-west-2")));
    assert!(moved.text().contains("<Region>us-west-2</Region>"));

    sim.s3(|s3| s3.denied.push(media.key.clone()));
    assert_eq!(get().send(&sim).status, 403);
    sim.s3(|s3| (s3.denied, s3.session_token) = (Vec::new(), Some("token".to_owned())));
    assert!(get().send(&sim).text().contains("InvalidAccessKeyId"));
    assert!(get().with("x-amz-security-token", "old").send(&sim).text().contains("InvalidToken"));
    assert_eq!(get().with("x-amz-security-token", "token").send(&sim).status, 200);
    sim.s3(|s3| s3.expired = true);
    assert!(get().with("x-amz-security-token", "token").send(&sim).text().contains("ExpiredToken"));
    sim.s3(|s3| (s3.expired, s3.session_token) = (false, None));
    sim.clock_offset(-20 * 60_000);
    assert!(get().send(&sim).text().contains("RequestTimeTooSkewed"));
    assert_eq!(Signed { minutes_off: -20, ..get() }.send(&sim).status, 200);
}

#[test]
fn checksums_and_etags_are_what_the_behaviour_says() {
    let sim = small();
    let media = all_media(&sim).remove(0);
    let path = path(&media);
    let headers = [
        (Algorithm::Crc32, "x-amz-checksum-crc32", 8),
        (Algorithm::Crc32c, "x-amz-checksum-crc32c", 8),
        (Algorithm::Crc64Nvme, "x-amz-checksum-crc64nvme", 12),
        (Algorithm::Sha1, "x-amz-checksum-sha1", 28),
        (Algorithm::Sha256, "x-amz-checksum-sha256", 44),
    ];
    for (algorithm, name, length) in headers {
        sim.s3(|s3| s3.checksum = Some(algorithm));
        let asked = Signed::get(&path).with("x-amz-checksum-mode", "ENABLED").send(&sim);
        assert_eq!(asked.header(name).map(str::len), Some(length), "{name}");
        assert_eq!(Signed::get(&path).send(&sim).header(name), None);
    }
    sim.s3(|s3| s3.etag = ETagKind::Multipart);
    assert!(Signed::get(&path).send(&sim).header("etag").unwrap().ends_with("-1\""));
    sim.s3(|s3| s3.etag = ETagKind::Kms);
    let kms = Signed::get(&path).send(&sim);
    assert_eq!(kms.header("x-amz-server-side-encryption"), Some("aws:kms"));
    assert_eq!(kms.header("etag").unwrap().len(), 34);
}

#[test]
fn an_object_that_was_sealed_anew_has_another_etag() {
    let sim = small();
    let media = all_media(&sim).remove(0);
    let path = path(&media);
    let mut etags = Vec::new();
    for (recipient, cipher) in [(0, Cipher::Aes128), (1, Cipher::Aes128), (1, Cipher::Aes256)] {
        sim.edit(|world| world.put_object(Media { recipient, cipher, ..media.clone() }));
        let answer = Signed::get(&path).send(&sim);
        let md5 = openssl::hash::hash(openssl::hash::MessageDigest::md5(), &answer.body).unwrap();
        let md5: String = md5.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(answer.header("etag"), Some(format!("\"{md5}\"").as_str()));
        etags.push(md5);
    }
    etags.sort();
    etags.dedup();
    assert_eq!(etags.len(), 3);
}

#[test]
fn buckets_say_where_they_are_and_what_is_in_them() {
    let sim = small();
    let bucket = |method: &str, query: &str, region: &str| {
        Signed { method, query, region, ..Signed::get("/recordings-usw1") }.send(&sim)
    };
    let head = bucket("HEAD", "", "us-west-2");
    assert_eq!((head.status, head.header("x-amz-bucket-region")), (200, Some("us-west-2")));
    let head = bucket("HEAD", "", "eu-west-1");
    assert_eq!((head.status, head.header("x-amz-bucket-region")), (400, Some("us-west-2")));
    assert!(bucket("GET", "location=", "us-east-1").text().contains("us-west-2"));
    let text =
        bucket("GET", "delimiter=%2F&list-type=2&prefix=tenant-2027%2F2026%2F03%2F", "us-west-2")
            .text();
    assert!(text.contains("<Prefix>tenant-2027/2026/03/02/</Prefix>"), "{text}");
    let mut keys = Vec::new();
    let mut after = String::new();
    loop {
        let query = format!("{after}list-type=2&max-keys=7&prefix=tenant-2027%2F");
        let text = bucket("GET", &query, "us-west-2").text();
        keys.extend(
            text.split("<Key>").skip(1).map(|part| part.split('<').next().unwrap().to_owned()),
        );
        let Some(token) = text.split("<NextContinuationToken>").nth(1) else { break };
        let token = token.split('<').next().unwrap().replace('/', "%2F").replace('+', "%2B");
        after = format!("continuation-token={token}&");
    }
    let mut expected: Vec<String> = all_media(&sim).into_iter().map(|media| media.key).collect();
    expected.sort();
    assert_eq!(keys, expected);
}

#[test]
fn each_bucket_answers_for_its_own_region_alone() {
    let buckets = vec![Bucket::new("one", "us-west-2"), Bucket::new("two", "eu-central-1")];
    let sim = Sim::of(WorldSpec { recordings: 20, buckets, ..WorldSpec::default() });
    for media in all_media(&sim) {
        for region in ["us-west-2", "eu-central-1"] {
            let answer = Signed { region, ..Signed::get(&path(&media)) }.send(&sim);
            let expected =
                if (media.bucket == "one") == (region == "us-west-2") { 200 } else { 400 };
            assert_eq!(answer.status, expected, "{} {region}", media.bucket);
        }
    }
    sim.s3(|s3| (s3.wrong_region, s3.listing_denied) = (WrongRegion::Ignored, true));
    let list = Signed { query: "list-type=2", ..Signed::get("/two") }.send(&sim);
    assert!(list.text().contains("AccessDenied"));
}
