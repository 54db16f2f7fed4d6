//! The cloud as its clients meet it, over real HTTP: here faults, log, proxy and TLS, which concern both services.

mod client;
mod faults;
mod gws;
mod s3;
mod wrapping;

use client::{Signed, ask, basic, gws, ids};

use crate::gws::Links;
use crate::{Action, Fault, Hits, Media, Proxy, Route, Sim, SimOptions, TlsOptions, WorldSpec};

const ALL: &str = "startTimeRange=0,9999999999999";

fn small() -> Sim {
    Sim::of(WorldSpec { recordings: 25, screen_share: 0.5, ..WorldSpec::default() })
}

fn all_media(sim: &Sim) -> Vec<Media> {
    sim.world().recordings().flat_map(|recording| recording.media.clone()).collect()
}

fn path(media: &Media) -> String {
    format!("/{}/{}", media.bucket, media.key)
}

#[test]
fn each_fault_does_to_an_answer_what_it_says() {
    let sim = small();
    let media = all_media(&sim).remove(0);
    let path = path(&media);
    let whole = sim.world().expected_object(&media.bucket, &media.key);
    let strike = |action: Action| {
        sim.clear_faults();
        sim.add_fault(Fault::on(Route::S3, action).containing(&media.key).hits(Hits::Nth(1)));
        let struck = Signed::get(&path).send(&sim);
        assert_eq!(Signed::get(&path).send(&sim).body, whole, "the second request is not struck");
        struck
    };
    assert_eq!(strike(Action::Reset).status, 0);
    assert_eq!(strike(Action::Close).status, 0);
    let slow_down = strike(Action::s3_error(503, "SlowDown"));
    assert_eq!(slow_down.status, 503);
    assert!(slow_down.text().contains("<Code>SlowDown</Code>"));
    assert_eq!(strike(Action::retry_after(429, 2)).header("retry-after"), Some("2"));
    for cut in [Action::Truncate(100), Action::ResetAfter(100)] {
        let answer = strike(cut.clone());
        assert!(!answer.whole && answer.body.len() <= 100, "{cut:?} {}", answer.body.len());
    }
    assert_eq!(strike(Action::Truncate(100)).body, whole[..100]);
    let longer = strike(Action::WrongLength(5));
    assert_eq!((longer.body.len(), longer.whole), (whole.len(), false));
    let shorter = strike(Action::WrongLength(-5));
    assert_eq!((shorter.body.len(), shorter.whole), (whole.len() - 5, true));
    assert_eq!(strike(Action::WrongETag("feed".to_owned())).header("etag"), Some("\"feed\""));
    let mut changed = whole.clone();
    changed[7] ^= 0xFF;
    assert_eq!(strike(Action::Corrupt(7)).body, changed);
    let began = std::time::Instant::now();
    assert_eq!(strike(Action::Trickle(whole.len() as u64 * 4)).body, whole);
    assert!(began.elapsed().as_millis() >= 200);
    let began = std::time::Instant::now();
    assert_eq!(strike(Action::Delay(std::time::Duration::from_millis(50))).body, whole);
    assert!(began.elapsed().as_millis() >= 50);
    assert!(strike(Action::html()).text().contains("<html>"));
    let request = sim.requests().into_iter().find(|request| !request.faults.is_empty()).unwrap();
    assert_eq!((request.status, request.opens_media()), (0, true));
}

#[test]
fn listings_can_be_empty_or_repeated_by_a_fault() {
    let sim = small();
    sim.gws(|gws| (gws.cap, gws.links) = (10, Some(Links::new("next"))));
    let first = ids(&sim, &format!("{ALL}&limit=100"));
    sim.add_fault(Fault::on(Route::Listing, Action::RepeatedPage).hits(Hits::Nth(1)));
    assert_eq!(ids(&sim, &format!("{ALL}&limit=100&offset=10")), first);
    sim.add_fault(Fault::on(Route::Listing, Action::EmptyPage));
    assert!(ids(&sim, &format!("{ALL}&limit=100")).is_empty());
    let code = Fault::on(Route::Settings, Action::gws_code(200, 4));
    sim.add_fault(code);
    assert_eq!(gws(&sim, "/me/settings/rcbs").json()["statusCode"], 4);
}

#[test]
fn the_log_counts_what_was_sent() {
    let sim = small();
    let media = all_media(&sim).remove(0);
    let answer = Signed::get(&path(&media)).with("Range", "bytes=0-9").send(&sim);
    let request = sim.requests().pop().unwrap();
    assert_eq!((request.number, request.status, request.bytes_sent), (1, answer.status, 10));
    assert_eq!(request.range.as_deref(), Some("bytes=0-9"));
    assert_eq!(sim.media_opened(), [format!("{}/{}", media.bucket, media.key)]);
    sim.clear_requests();
    assert!(sim.requests().is_empty());
    std::thread::scope(|scope| {
        scope.spawn(|| gws(&sim, "/me/settings/rcbs"));
        assert!(sim.wait_for(|request| request.route == Route::Settings && request.status == 200));
    });
}

#[test]
fn there_is_no_silence_while_a_client_is_connected() {
    let sim = small();
    let address = sim.s3_endpoint().split("//").last().unwrap().to_owned();
    let connected = std::net::TcpStream::connect(&address).unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| (sim.wait_for_silence(), sim.asked()));
        (0..20).for_each(|_| assert_eq!(gws(&sim, "/me/settings/rcbs").status, 200));
        drop(connected);
        assert_eq!(waiter.join().unwrap(), (true, 20));
    });
}

#[test]
fn the_proxy_passes_on_and_wants_its_login() {
    let sim = small();
    let target = format!("{}/me/settings/rcbs", sim.gws_uri_prefix());
    let login = basic(crate::gws::USER, crate::gws::PASSWORD);
    let proxy = Proxy::start();
    let origin = format!("http://127.0.0.1:{}", proxy.port());
    assert_eq!(ask(&origin, "GET", &target, &[("Authorization", &login)]).status, 200);
    let host = sim.s3_endpoint().split("//").last().unwrap().to_owned();
    let tunnel = ask(&origin, "CONNECT", &host, &[]);
    assert_eq!(tunnel.status, 200);
    let gws_host = target.split('/').nth(2).unwrap();
    assert_eq!(proxy.asked(), [format!("GET {gws_host}"), format!("CONNECT {host}")]);

    let guarded = Proxy::start_with_login("user", "word");
    let origin = format!("http://127.0.0.1:{}", guarded.port());
    let proxy_login = basic("user", "word");
    assert_eq!(ask(&origin, "GET", &target, &[("Authorization", &login)]).status, 407);
    let wrong_login = basic("user", "wrong");
    let wrong = [("Authorization", login.as_str()), ("Proxy-Authorization", &wrong_login)];
    assert_eq!(ask(&origin, "GET", &target, &wrong).status, 407);
    let both = [("Authorization", login.as_str()), ("Proxy-Authorization", &proxy_login)];
    assert_eq!(ask(&origin, "GET", &target, &both).status, 200);
}

#[test]
fn tls_is_trusted_with_the_authority_unless_the_certificate_is_bad() {
    use openssl::ssl::{SslConnector, SslMethod};

    let cases = [(false, false, true), (true, false, false), (false, true, false)];
    for (expired, wrong_host, trusted) in cases {
        let tls = Some(TlsOptions { expired, wrong_host, ..TlsOptions::default() });
        let sim = Sim::start(SimOptions { tls, ..SimOptions::default() });
        assert!(sim.s3_endpoint().starts_with("https://127.0.0.1:"));
        let ca = openssl::x509::X509::from_pem(sim.ca_pem().unwrap().as_bytes()).unwrap();
        let mut connector = SslConnector::builder(SslMethod::tls()).unwrap();
        connector.cert_store_mut().add_cert(ca).unwrap();
        let connector = connector.build();
        for origin in [sim.s3_endpoint(), sim.gws_uri_prefix()] {
            let host = origin.split('/').nth(2).unwrap().to_owned();
            let tcp = std::net::TcpStream::connect(host).unwrap();
            assert_eq!(
                connector.connect("127.0.0.1", tcp).is_ok(),
                trusted,
                "{expired} {wrong_host}"
            );
        }
    }
}

#[test]
#[should_panic(expected = "planned faults that never struck")]
fn dropping_a_cloud_whose_fault_never_struck_fails() {
    small().add_fault(Fault::on(Route::S3, Action::Reset));
}
