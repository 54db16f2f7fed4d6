//! What is waited for, and what counts against whom, in made-up time.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use http_body::Frame;
use tokio::task::JoinSet;
use tokio::time::Sleep;

use super::*;
use crate::bandwidth::Timetable;
use crate::http::InTime;

/// A sender of chunks: how long each takes, counted from when somebody waits, and its bytes.
struct Sender {
    chunks: VecDeque<(Duration, usize)>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl http_body::Body for Sender {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let Some((after, bytes)) = self.chunks.front().copied() else { return Poll::Ready(None) };
        if !after.is_zero() {
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(after)));
            std::task::ready!(sleep.as_mut().poll(cx));
        }
        (self.sleep, self.chunks) = (None, self.chunks.split_off(1));
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![7; bytes])))))
    }
}

const SILENCE: Duration = Duration::from_secs(50);

/// An object of such chunks from S3, or from elsewhere.
fn object(is_s3: bool, chunks: Vec<(Duration, usize)>, limiter: Option<&Arc<Limiter>>) -> Object {
    let body = reqwest::Body::wrap(Sender { chunks: chunks.into(), sleep: None });
    let body = match is_s3 {
        true => Body::S3(ByteStream::new(SdkBody::from_body_1_x(InTime::new(body, SILENCE)))),
        false => Body::Web(InTime::of(::http::Response::new(body).into(), SILENCE)),
    };
    Object {
        name: "an object".to_owned(),
        length: None,
        etag: None,
        expected: Vec::new(),
        body,
        pace: Pace::default(),
        limiter: limiter.cloned(),
    }
}

async fn read(mut object: Object) -> Result<usize, OpenErrorKind> {
    let mut bytes = 0;
    while let Some(chunk) = object.next_chunk().await.map_err(|error| error.kind)? {
        bytes += chunk.len();
    }
    Ok(bytes)
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_is_silent_in_the_middle_of_an_object_is_out_of_time() {
    let seconds = Duration::from_secs;
    for is_s3 in [true, false] {
        let slow = object(is_s3, vec![(seconds(49), 100_000); 10], None);
        assert_eq!(read(slow).await, Ok(1_000_000));
        let began = Instant::now();
        let silent = object(is_s3, vec![(seconds(1), 100_000), (seconds(3_600), 1)], None);
        assert_eq!(read(silent).await, Err(OpenErrorKind::Fault(Fault::Timeout)));
        assert_eq!(began.elapsed(), seconds(51));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_read_late_has_not_come_late() {
    for is_s3 in [true, false] {
        let mut object = object(is_s3, vec![(Duration::from_millis(1), 1_000); 100], None);
        while object.next_chunk().await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_secs(600)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_for_the_limit_is_no_fault_of_the_sender() {
    for is_s3 in [true, false] {
        for (rate, connections, bytes) in
            [("1K", 1, 500), ("1K", 1, 70_000), ("50K", 100, 65_536), ("1M", 200, 417_792)]
        {
            let began = Instant::now();
            let timetable = Timetable::parse(rate).unwrap().unwrap();
            let limit = timetable.only_rate().unwrap().bytes_a_second() as usize;
            let limiter = Arc::new(Limiter::new(timetable, Box::new(|| unreachable!())));
            let mut readers = JoinSet::new();
            for _ in 0..connections {
                let chunks = vec![(Duration::from_millis(1), bytes); 200];
                readers.spawn(read(object(is_s3, chunks, Some(&limiter))));
            }
            let read = readers.join_all().await;
            assert_eq!(read, vec![Ok(200 * bytes); connections], "{rate}, {connections}");
            let seconds = (connections * 200 * bytes / limit) as u64;
            let took = began.elapsed().as_secs();
            assert!((seconds..=seconds + seconds / 20).contains(&took), "{took}, not {seconds}");
        }
    }
}
