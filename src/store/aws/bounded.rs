//! A bound on answers that are collected in memory before they are parsed, and a check that they are
//! complete.
//!
//! The SDK reads an answer to its end and then parses it. A service, or a server in its place, could send one
//! without end. Only the content of an object comes piece by piece, and `get.rs` bounds it by the caller's
//! limit.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use aws_sdk_s3::config::{HttpClient as _, SharedHttpClient};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::primitives::SdkBody;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::whole_xml::PassingXml;

/// The longest answer that is collected, in bytes. The longest honest answer is a page of 1,000 versions.
/// Each has a key of 1,024 bytes, three times that when encoded, and an id of up to 1,024 bytes. That is less
/// than 5 MiB in all.
const MAX_BYTES: u64 = 8 << 20;

/// The bounds of a service's answers.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Bound {
    /// Whether the answer to this URI is content, which comes piece by piece.
    pub(in crate::store) streams: fn(&str) -> bool,
    /// The byte that each value of an answer has one of.
    pub(in crate::store) tag: u8,
    /// The most of these in an answer. The parsed form takes more memory than the text.
    pub(in crate::store) max_tags: u64,
    /// What too many of these are called.
    pub(in crate::store) tags: &'static str,
    /// What follows if an answer has too many bytes.
    pub(in crate::store) bytes: &'static str,
}

/// The answer is longer than any honest one.
#[derive(Debug, thiserror::Error)]
pub(in crate::store) enum TooLong {
    #[error("its answer has more than {MAX_BYTES} bytes, {0}")]
    Bytes(&'static str),
    #[error("its answer has more than {0} {1}")]
    Tags(u64, &'static str),
}

/// Returns the client with a bound on all answers except for the content of objects.
pub(super) fn bounded(client: SharedHttpClient, bound: Bound) -> SharedHttpClient {
    http_client_fn(move |settings, components| {
        SharedHttpConnector::new(Bounded {
            below: client.http_connector(settings, components),
            bound,
        })
    })
}

#[derive(Debug)]
struct Bounded {
    below: SharedHttpConnector,
    bound: Bound,
}

impl HttpConnector for Bounded {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let bound = self.bound;
        let streams = (bound.streams)(request.uri());
        let answer = self.below.call(request);
        HttpConnectorFuture::new(async move {
            let answer = answer.await?;
            // The refusal of such a request is collected like any other answer.
            let is_success = answer.status().is_success();
            if streams && is_success {
                return Ok(answer);
            }
            Ok(answer.map(|body| {
                SdkBody::from_body_1_x(BoundedBody {
                    body,
                    bound,
                    is_success,
                    bytes: 0,
                    tags: 0,
                    passing: PassingXml::default(),
                })
            }))
        })
    }
}

struct BoundedBody {
    body: SdkBody,
    bound: Bound,
    is_success: bool,
    bytes: u64,
    tags: u64,
    passing: PassingXml,
}

impl Body for BoundedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(piece) = frame.data_ref()
        {
            self.bytes += piece.len() as u64;
            let tags = piece.iter().map(|byte| u64::from(*byte == self.bound.tag));
            self.tags += tags.sum::<u64>();
            let too_long = if self.bytes > MAX_BYTES {
                Some(TooLong::Bytes(self.bound.bytes))
            } else if self.tags > self.bound.max_tags {
                Some(TooLong::Tags(self.bound.max_tags, self.bound.tags))
            } else {
                None
            };
            if let Some(too_long) = too_long {
                return Poll::Ready(Some(Err(too_long.into())));
            }
            self.passing.note(piece);
        }
        // A reader that knows the length does not read on after the last byte.
        if frame.as_ref().is_none_or(Result::is_ok)
            && (frame.is_none() || self.body.is_end_stream())
            && let Err(cut) = self.passing.require_whole(self.is_success)
        {
            return Poll::Ready(Some(Err(cut.into())));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        Body::size_hint(&self.body)
    }
}
