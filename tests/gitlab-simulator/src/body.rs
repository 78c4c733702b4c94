//! Response bodies: whole, endless and slow ones.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

/// Size of the pieces of a huge body.
const PIECE: usize = 64 * 1024;

/// What is sent after the headers.
#[derive(Debug)]
pub(crate) enum Sent {
    /// All at once.
    Whole(Option<Bytes>),
    /// A piece of an array, over and over: costs no memory.
    Huge { piece: Bytes, left: u64, begun: bool },
    /// Byte by byte with a pause before each.
    Slow { bytes: Bytes, pause: Duration, timer: Option<Pin<Box<Sleep>>> },
}

impl Sent {
    pub(crate) fn whole(text: String) -> Self {
        Self::Whole(Some(Bytes::from(text)))
    }

    pub(crate) fn huge(length: u64) -> Self {
        Self::Huge { piece: Bytes::from("0,".repeat(PIECE / 2)), left: length, begun: false }
    }

    pub(crate) fn slow(text: String, pause: Duration) -> Self {
        Self::Slow { bytes: Bytes::from(text), pause, timer: None }
    }
}

impl Body for Sent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Self::Whole(bytes) => {
                let bytes = bytes.take().filter(|bytes| !bytes.is_empty());
                Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))))
            }
            Self::Huge { left: 0, .. } => Poll::Ready(None),
            Self::Huge { left, begun, .. } if !*begun => {
                (*begun, *left) = (true, *left - 1);
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"[")))))
            }
            Self::Huge { piece, left, .. } => {
                let length = usize::try_from(*left).unwrap_or(PIECE).min(piece.len());
                *left -= length as u64;
                Poll::Ready(Some(Ok(Frame::data(piece.slice(..length)))))
            }
            Self::Slow { bytes, .. } if bytes.is_empty() => Poll::Ready(None),
            Self::Slow { bytes, pause, timer } => {
                let running = timer.get_or_insert_with(|| Box::pin(sleep(*pause)));
                if running.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                *timer = None;
                Poll::Ready(Some(Ok(Frame::data(bytes.split_to(1)))))
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Self::Whole(bytes) => bytes.as_ref().map_or(0, |bytes| bytes.len() as u64),
            Self::Huge { left, .. } => *left,
            Self::Slow { bytes, .. } => bytes.len() as u64,
        })
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None) | Self::Huge { left: 0, .. })
    }
}
