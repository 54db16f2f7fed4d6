//! The watch over a sender that is silent.
//!
//! Given a body, gives the same one, which fails where the next part of it does not come in time.
//!
//! **Invariant:** time counts while somebody waits for the sender, and only then. The read time-out
//! of reqwest goes on while nobody asks: bytes that have long been here would come too late.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

/// Waits for an answer, unless there is silence for so long.
pub async fn in_time<T>(silence: Duration, answer: impl Future<Output = T>) -> io::Result<T> {
    timeout(silence, answer).await.map_err(|_| io::ErrorKind::TimedOut.into())
}

/// A body that fails after so long a silence.
pub struct InTime {
    body: reqwest::Body,
    silence: Duration,
    alarm: Option<Pin<Box<Sleep>>>,
    is_waited_for: bool,
}

impl InTime {
    /// Watches over a body.
    pub fn new(body: reqwest::Body, silence: Duration) -> InTime {
        InTime { body, silence, alarm: None, is_waited_for: false }
    }

    /// Watches over the body of an answer; its address is lost.
    pub fn of(response: reqwest::Response, silence: Duration) -> reqwest::Response {
        let response = http::Response::<reqwest::Body>::from(response);
        response.map(|body| reqwest::Body::wrap(InTime::new(body, silence))).into()
    }

    /// Begins to count where nobody has waited before, and tells when it has been too long.
    fn is_too_long(&mut self, cx: &mut Context<'_>) -> bool {
        let latest = Instant::now() + self.silence;
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(latest)));
        if !self.is_waited_for {
            alarm.as_mut().reset(latest);
            self.is_waited_for = true;
        }
        alarm.as_mut().poll(cx).is_ready()
    }
}

impl Body for InTime {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(frame) => {
                self.is_waited_for = false;
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Poll::Pending if self.is_too_long(cx) => {
                Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::TimedOut).into())))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
