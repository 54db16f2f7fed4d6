//! What faults do to an answer on its way out.
//!
//! Given an answer and the actions that strike it, gives the answer changed, cut or slowed down, and counts what is sent.
//! **Invariant**: without actions nothing is changed.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, ETAG, HeaderName};
use http::{HeaderMap, HeaderValue};
use http_body::{Body as HttpBody, Frame};

use crate::fault::Action;
use crate::log::Ticket;
use crate::server::{Body, BoxError};

/// What an endless body goes on with.
static BLANKS: [u8; 1 << 16] = [b' '; 1 << 16];

/// Changes the head of an answer as the faults want it.
pub(crate) fn spoil_head(headers: &mut HeaderMap, actions: &[Action]) -> Result<(), BoxError> {
    for action in actions {
        match action {
            Action::WrongETag(etag) => {
                headers.insert(ETAG, HeaderValue::try_from(format!("\"{etag}\""))?);
            }
            Action::SetHeader { name, value } => {
                headers.insert(HeaderName::try_from(name)?, HeaderValue::try_from(value)?);
            }
            Action::Endless => {
                headers.remove(CONTENT_LENGTH);
            }
            Action::WrongLength(more) => {
                let length = headers
                    .get(CONTENT_LENGTH)
                    .and_then(|v| v.to_str().ok())
                    .and_then(|v| v.parse::<i64>().ok());
                if let Some(length) = length {
                    headers.insert(CONTENT_LENGTH, HeaderValue::from((length + more).max(0)));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// A body that is counted, and cut, changed or slowed down on its way.
pub(crate) struct Spoiled {
    inner: Body,
    ticket: Ticket,
    reset: Arc<AtomicBool>,
    sent: u64,
    cut: Option<u64>,
    cut_resets: bool,
    /// True: more was promised than there is, so the end of the body is a cut too.
    end_is_cut: bool,
    /// True: blanks come behind the end of the body, for ever.
    is_endless: bool,
    cut_is_flushed: bool,
    corrupt: Option<u64>,
    bytes_per_second: Option<u64>,
    pause: Option<Pin<Box<tokio::time::Sleep>>>,
    waiting: Bytes,
}

impl Spoiled {
    pub(crate) fn new(
        inner: Body,
        ticket: Ticket,
        actions: &[Action],
        reset: Arc<AtomicBool>,
    ) -> Self {
        let mut spoiled = Self {
            inner,
            ticket,
            reset,
            sent: 0,
            cut: None,
            cut_resets: false,
            end_is_cut: false,
            is_endless: false,
            cut_is_flushed: false,
            corrupt: None,
            bytes_per_second: None,
            pause: None,
            waiting: Bytes::new(),
        };
        for action in actions {
            match action {
                Action::Truncate(bytes) => spoiled.cut = Some(*bytes),
                Action::ResetAfter(bytes) => {
                    (spoiled.cut, spoiled.cut_resets) = (Some(*bytes), true)
                }
                Action::WrongLength(more) => spoiled.end_is_cut = *more > 0,
                Action::Endless => spoiled.is_endless = true,
                Action::Corrupt(place) => spoiled.corrupt = Some(*place),
                Action::Trickle(rate) => spoiled.bytes_per_second = Some((*rate).max(1)),
                _ => {}
            }
        }
        spoiled
    }

    fn next_bytes(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BoxError>>> {
        while self.waiting.is_empty() {
            match std::task::ready!(Pin::new(&mut self.inner).poll_frame(context)) {
                None if self.is_endless => self.waiting = Bytes::from_static(&BLANKS),
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                // Trailers are of no use to anybody here.
                Some(Ok(frame)) => self.waiting = frame.into_data().unwrap_or_default(),
            }
        }
        let slice = self.bytes_per_second.map_or(usize::MAX, |rate| rate.div_ceil(10) as usize);
        let room = self.cut.map_or(usize::MAX, |cut| (cut - self.sent) as usize);
        let bytes = self.waiting.split_to(slice.min(room).min(self.waiting.len()));
        if self.bytes_per_second.is_some() {
            self.pause = Some(Box::pin(tokio::time::sleep(Duration::from_millis(100))));
        }
        Poll::Ready(Some(Ok(bytes)))
    }
}

impl HttpBody for Spoiled {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if let Some(pause) = this.pause.as_mut() {
            std::task::ready!(pause.as_mut().poll(context));
            this.pause = None;
        }
        if this.cut == Some(this.sent) {
            if !this.cut_is_flushed {
                // Whoever waits lets the connection write out what it has; only then is it broken off.
                this.cut_is_flushed = true;
                this.pause = Some(Box::pin(tokio::time::sleep(Duration::from_millis(5))));
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            this.reset.store(this.cut_resets, Ordering::Relaxed);
            return Poll::Ready(Some(Err("planned cut".into())));
        }
        let Some(bytes) = std::task::ready!(this.next_bytes(context)) else {
            if !this.end_is_cut {
                return Poll::Ready(None);
            }
            this.cut = Some(this.sent);
            return Pin::new(this).poll_frame(context);
        };
        let mut bytes = bytes?;
        if let Some(place) = this.corrupt.and_then(|place| place.checked_sub(this.sent))
            && (place as usize) < bytes.len()
        {
            let mut changed = bytes.to_vec();
            changed[place as usize] ^= 0xFF;
            bytes = changed.into();
        }
        this.sent += bytes.len() as u64;
        this.ticket.sent(bytes.len() as u64);
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.cut.is_none()
            && !self.end_is_cut
            && !self.is_endless
            && self.waiting.is_empty()
            && self.inner.is_end_stream()
    }
}
