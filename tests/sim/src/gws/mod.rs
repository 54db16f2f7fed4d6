//! The metadata API over a world, with every habit that a server may have.
//!
//! Given a request and a [`GwsBehaviour`], gives an answer whose records are rendered one by one while it is sent.
//! **Invariant**: what is answered follows from the world, the behaviour and the number of the listing alone.

mod behaviour;
mod rows;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use base64::Engine as _;
use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE, WWW_AUTHENTICATE,
};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Incoming;

pub use behaviour::{Drift, GwsBehaviour, Links, Order, PASSWORD, Settings, USER};

use crate::fault::Action;
use crate::log::{Route, lock};
use crate::s3::decode;
use crate::server::{Body, BoxError, Shared, full};
use crate::sim::{read, write};
use crate::world::{Recording, Row, World, calls, metadata};

/// Says what a path asks for, and if that is an object, where it is.
pub(crate) fn route(path: &str, behaviour: &GwsBehaviour) -> (Route, Option<String>) {
    let Some(rest) = path.strip_prefix(&behaviour.prefix) else { return (Route::OtherGws, None) };
    if let Some(place) = rest.strip_prefix("/media/") {
        return (Route::Media, Some(decode(place)));
    }
    if rest.trim_end_matches('/') == behaviour.settings_uri {
        return (Route::Settings, None);
    }
    match rest.strip_prefix(&behaviour.recordings_uri) {
        Some(rest) if rest.trim_matches('/') == "download" => (Route::Listing, None),
        _ => (Route::OtherGws, None),
    }
}

/// Answers a request.
pub(crate) fn answer(
    shared: &Arc<Shared>,
    asked: Route,
    request: &Request<Incoming>,
    actions: &[Action],
) -> Response<Body> {
    let behaviour = read(&shared.gws).clone();
    if let Some(origin) = &behaviour.redirect_to {
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
        let mut response = Response::new(full(""));
        *response.status_mut() = StatusCode::FOUND;
        if let Ok(location) = HeaderValue::try_from(format!("{origin}{target}")) {
            response.headers_mut().insert(LOCATION, location);
        }
        return response;
    }
    let is_public = behaviour.media_public && asked == Route::Media;
    if !is_public && !is_known(&behaviour, request) {
        let mut response =
            json(401, r#"{"statusCode":20,"statusMessage":"Unauthenticated"}"#.to_owned());
        response
            .headers_mut()
            .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"gws\""));
        return response;
    }
    let session = session(&behaviour);
    let has_cookie = request
        .headers()
        .get_all(COOKIE)
        .iter()
        .any(|v| v.to_str().is_ok_and(|v| v.contains(&session)));
    let mut response = match asked {
        Route::Listing => {
            let number = shared.listings.fetch_add(1, Ordering::Relaxed) + 1;
            if behaviour.cookie_required && !has_cookie && number > 1 {
                json(
                    403,
                    r#"{"statusCode":3,"statusMessage":"the session cookie is missing"}"#
                        .to_owned(),
                )
            } else {
                listing(shared, &behaviour, request, actions, number)
            }
        }
        Route::Settings => settings(&behaviour.settings),
        Route::Media => {
            media(shared, &route(request.uri().path(), &behaviour).1.unwrap_or_default())
        }
        Route::OtherGws | Route::S3 => {
            json(404, r#"{"statusCode":6,"statusMessage":"Not found"}"#.to_owned())
        }
    };
    if !has_cookie && let Ok(cookie) = HeaderValue::try_from(format!("{session}; Path=/; HttpOnly"))
    {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}

/// Gives the rows that a listing asks for, in the order that the behaviour wants.
pub fn select(world: &World, behaviour: &GwsBehaviour, from_ms: i64, to_ms: i64) -> Vec<Row> {
    selected(world, behaviour, from_ms, to_ms, 0..usize::MAX).0
}

/// Gives those rows that a listing asks for which stand at these places, and how many there are in all.
fn selected(
    world: &World,
    behaviour: &GwsBehaviour,
    from_ms: i64,
    to_ms: i64,
    places: Range<usize>,
) -> (Vec<Row>, usize) {
    let (first, end) = if behaviour.range_ignored {
        (i64::MIN, i64::MAX)
    } else {
        (
            from_ms.saturating_add(i64::from(!behaviour.lower_edge_inclusive)),
            to_ms.saturating_add(i64::from(behaviour.upper_edge_inclusive)),
        )
    };
    let all = world.rows_between(first, end);
    let (skip, take) = (places.start, places.len());
    let rows = match behaviour.order {
        Order::OldestFirst => all.iter().skip(skip).take(take).cloned().collect(),
        Order::NewestFirst => all.iter().rev().skip(skip).take(take).cloned().collect(),
        Order::Unsorted => {
            let mut keyed: Vec<(u64, &Row)> = all
                .iter()
                .enumerate()
                .map(|(n, row)| (calls::mix(row.start_ms as u64, n as u64), row))
                .collect();
            keyed.sort_by_key(|(key, _)| *key);
            keyed.into_iter().skip(skip).take(take).map(|(_, row)| row.clone()).collect()
        }
    };
    (rows, all.len())
}

fn listing(
    shared: &Arc<Shared>,
    behaviour: &GwsBehaviour,
    request: &Request<Incoming>,
    actions: &[Action],
    number: u64,
) -> Response<Body> {
    let query = request.uri().query().unwrap_or_default();
    let Some((from_ms, to_ms)) =
        parameter(query, "startTimeRange").and_then(|range| time_range(&range))
    else {
        return json(
            400,
            r#"{"statusCode":2,"statusMessage":"startTimeRange is missing or wrong"}"#.to_owned(),
        );
    };
    if behaviour.broken_at.is_some_and(|at| from_ms < at && at < to_ms) {
        return json(500, r#"{"statusCode":4,"statusMessage":"Internal error"}"#.to_owned());
    }
    let number_of = |name| parameter(query, name).and_then(|text| text.parse::<usize>().ok());
    let limit = number_of("limit").unwrap_or(100).min(behaviour.cap);
    let offset = number_of("offset").unwrap_or(0);

    drift(shared, behaviour, number, from_ms, to_ms);
    // Only a fault needs more than the page: a range may have a million rows.
    let (rows, mut page, count) = if actions.is_empty() {
        let page = offset..offset.saturating_add(limit);
        let (page, count) = selected(&read(&shared.world), behaviour, from_ms, to_ms, page);
        (Vec::new(), page, count)
    } else {
        let mut rows = select(&read(&shared.world), behaviour, from_ms, to_ms);
        if actions.contains(&Action::ReorderAll) {
            rows::shuffle(&mut rows, number);
        }
        let page = rows.iter().skip(offset).take(limit).cloned().collect();
        let count = rows.len();
        (rows, page, count)
    };
    let more = count > offset.saturating_add(limit);
    if actions.contains(&Action::EmptyPage) {
        page.clear();
    }
    let before = std::mem::replace(&mut *lock(&shared.last_page), page.clone());
    if actions.contains(&Action::RepeatedPage) {
        page.clone_from(&before);
    }
    let listed = page.len();
    rows::spoil(&mut page, &before, actions, number);
    rows::note_hidden(shared, &rows, &page, actions);

    let link = behaviour.links.as_ref().filter(|links| more || links.always).map(|links| {
        let next = if links.looping { offset } else { offset + listed };
        let range = format!("{from_ms},{to_ms}");
        let path = request.uri().path();
        let origin = links.origin.as_deref().unwrap_or_default();
        let uri = format!("{origin}{path}?startTimeRange={range}&limit={limit}&offset={next}");
        match links.property.as_str() {
            "paging.next" => format!(r#","paging":{{"next":"{uri}"}}"#),
            property => format!(r#","{property}":"{uri}""#),
        }
    });
    stream(shared, behaviour, page, &link.unwrap_or_default())
}

/// Gives an answer that renders a record when the connection is ready for it.
fn stream(
    shared: &Arc<Shared>,
    behaviour: &GwsBehaviour,
    page: Vec<Row>,
    link: &str,
) -> Response<Body> {
    let code = behaviour.status_code;
    if behaviour.recordings_omitted {
        return json(200, format!(r#"{{"statusCode":{code}{link}}}"#));
    }
    let shared = Arc::clone(shared);
    let pretty = behaviour.pretty;
    let separator = if pretty { " , " } else { "," };
    let prepared = if pretty { None } else { read(&shared.world).prepared(&page) };
    // What was rendered beforehand is sent as one piece.
    let rendered_now = if prepared.is_some() { Vec::new() } else { page };
    let records = rendered_now.into_iter().enumerate().map(move |(n, row)| {
        let json = read(&shared.world).json(&row);
        let json = if pretty { metadata::pretty(&json) } else { json };
        Bytes::from(if n == 0 { json } else { format!("{separator}{json}") })
    });
    let records = prepared.into_iter().chain(records);
    let (head, tail) = if pretty {
        (
            format!("{{\n  \"statusCode\" : {code},\n  \"recordings\" : [ "),
            format!(" ]{link}\n}}\n"),
        )
    } else {
        (format!(r#"{{"statusCode":{code},"recordings":["#), format!("]{link}}}"))
    };
    let parts = std::iter::once(head.into()).chain(records).chain(std::iter::once(tail.into()));
    let frames = parts.map(|part| Ok::<_, BoxError>(Frame::data(part)));
    let mut response =
        Response::new(StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync());
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json;charset=UTF-8"));
    response
}

/// Changes the world as planned for the listing with this number.
fn drift(shared: &Shared, behaviour: &GwsBehaviour, number: u64, from_ms: i64, to_ms: i64) {
    if behaviour.late_from_listing.is_some_and(|first| number >= first) {
        write(&shared.world).publish_late();
    }
    for (_, drift) in behaviour.drift.iter().filter(|(at, _)| *at == number) {
        let mut world = write(&shared.world);
        match drift {
            Drift::Vanish(row) => {
                if let Some(row) = select(&world, behaviour, from_ms, to_ms).get(*row) {
                    world.remove_row(row);
                }
            }
            Drift::Appear(recording) => world.add(Recording::clone(recording)),
        }
    }
}

fn media(shared: &Shared, place: &str) -> Response<Body> {
    let (bucket, key) = place.split_once('/').unwrap_or_default();
    let Some(object) = read(&shared.world).object(bucket, key) else {
        return json(404, r#"{"statusCode":6,"statusMessage":"Not found"}"#.to_owned());
    };
    let frames =
        object.parts(0..object.len()).map(|part| Ok::<_, BoxError>(Frame::data(part.into())));
    let mut response =
        Response::new(StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync());
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(object.len()));
    response
}

fn settings(settings: &Settings) -> Response<Body> {
    match settings {
        Settings::Refused(status, code) => {
            json(*status, format!(r#"{{"statusCode":{code},"statusMessage":"no settings"}}"#))
        }
        Settings::List(list) => {
            let list: Vec<_> = list
                .iter()
                .map(|(name, value)| serde_json::json!({"name": name, "value": value}))
                .collect();
            json(
                200,
                serde_json::json!({"statusCode": 0, "settings": list, "key": "name"}).to_string(),
            )
        }
    }
}

fn json(status: u16, body: String) -> Response<Body> {
    let mut response = Response::new(full(body));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json;charset=UTF-8"));
    response
}

fn is_known(behaviour: &GwsBehaviour, request: &Request<Incoming>) -> bool {
    let pair = format!("{}:{}", behaviour.user, behaviour.password);
    let expected = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
    request
        .headers()
        .get(AUTHORIZATION)
        .is_some_and(|value| value.as_bytes() == expected.as_bytes())
}

fn session(behaviour: &GwsBehaviour) -> String {
    format!("JSESSIONID={:016X}", xxhash_rust::xxh3::xxh3_64(behaviour.user.as_bytes()))
}

fn parameter(query: &str, name: &str) -> Option<String> {
    let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
    Some(decode(value))
}

fn time_range(text: &str) -> Option<(i64, i64)> {
    let (from, to) = text.split_once(',')?;
    Some((from.parse().ok()?, to.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::WorldSpec;

    #[test]
    fn orders_and_edges_are_as_the_behaviour_says() {
        let mut world = World::new(WorldSpec { recordings: 0, ..WorldSpec::default() });
        for at in [10, 20, 20, 30] {
            world.add(Recording::new(&format!("r{at}"), at));
        }
        let cases: [(Order, bool, bool, &[i64]); 5] = [
            (Order::OldestFirst, true, true, &[10, 20, 20, 30]),
            (Order::OldestFirst, false, true, &[20, 20, 30]),
            (Order::OldestFirst, true, false, &[10, 20, 20]),
            (Order::NewestFirst, true, true, &[30, 20, 20, 10]),
            (Order::NewestFirst, false, false, &[20, 20]),
        ];
        for (order, lower_edge_inclusive, upper_edge_inclusive, expected) in cases {
            let behaviour = GwsBehaviour {
                order,
                lower_edge_inclusive,
                upper_edge_inclusive,
                ..GwsBehaviour::default()
            };
            let starts: Vec<i64> =
                select(&world, &behaviour, 10, 30).iter().map(|row| row.start_ms).collect();
            assert_eq!(starts, expected, "{behaviour:?}");
        }
        let everything = GwsBehaviour { range_ignored: true, ..GwsBehaviour::default() };
        assert_eq!(select(&world, &everything, 29, 30).len(), 4);
    }

    #[test]
    fn unsorted_is_neither_ascending_nor_descending_and_always_the_same() {
        let world = World::new(WorldSpec::default());
        let behaviour = GwsBehaviour { order: Order::Unsorted, ..GwsBehaviour::default() };
        let starts = || {
            select(&world, &behaviour, 0, i64::MAX - 1)
                .iter()
                .map(|row| row.start_ms)
                .collect::<Vec<_>>()
        };
        assert_eq!(starts(), starts());
        assert!(!starts().is_sorted() && !starts().iter().rev().is_sorted());
    }

    #[test]
    fn paths_are_told_apart_below_the_prefix() {
        let behaviour = GwsBehaviour::default();
        let cases = [
            ("/api/v2/recordings/download/", Route::Listing),
            ("/api/v2/recordings/download", Route::Listing),
            ("/api/v2/me/settings/rcbs", Route::Settings),
            ("/api/v2/media/b/k", Route::Media),
            ("/api/v2/recordings", Route::OtherGws),
            ("/recordings/download/", Route::OtherGws),
        ];
        for (path, expected) in cases {
            assert_eq!(route(path, &behaviour).0, expected, "{path}");
        }
    }
}
