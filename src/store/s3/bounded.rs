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
pub(super) const MAX_BYTES: u64 = 8 << 20;

/// The most XML tags in an answer. An honest page has some 30 for each object. The parsed form takes more
/// memory than the text: an element of a few bytes becomes a value of some 300.
pub(super) const MAX_TAGS: u64 = 200_000;

/// The answer is longer than any honest one.
#[derive(Debug, thiserror::Error)]
pub(super) enum TooLong {
    #[error(
        "its answer has more than {} bytes, more than any that S3 gives",
        MAX_BYTES
    )]
    Bytes,
    #[error(
        "its answer has more than {} XML tags, more than any that S3 gives",
        MAX_TAGS
    )]
    Tags,
}

/// Returns the client with a bound on all answers except for the content of objects.
pub(super) fn bounded(client: SharedHttpClient) -> SharedHttpClient {
    http_client_fn(move |settings, components| {
        SharedHttpConnector::new(Bounded(client.http_connector(settings, components)))
    })
}

#[derive(Debug)]
struct Bounded(SharedHttpConnector);

impl HttpConnector for Bounded {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let streams = asks_for_content(request.uri());
        let answer = self.0.call(request);
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
                    is_success,
                    bytes: 0,
                    tags: 0,
                    passing: PassingXml::default(),
                })
            }))
        })
    }
}

/// Returns whether the answer is an object's content. The SDK names the operation in the query of each
/// request.
fn asks_for_content(uri: &str) -> bool {
    let query = uri.split_once('?').map_or("", |(_, query)| query);
    query.split('&').any(|pair| pair == "x-id=GetObject")
}

struct BoundedBody {
    body: SdkBody,
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
            let tags = piece.iter().map(|byte| u64::from(*byte == b'<'));
            self.tags += tags.sum::<u64>();
            let too_long = if self.bytes > MAX_BYTES {
                Some(TooLong::Bytes)
            } else if self.tags > MAX_TAGS {
                Some(TooLong::Tags)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_content_of_objects_is_not_collected() {
        for (uri, streams) in [
            ("https://b.example/key?x-id=GetObject", true),
            ("https://b.example/key?versionId=1&x-id=GetObject", true),
            (
                "https://b.example/?list-type=2&prefix=x-id%3DGetObject",
                false,
            ),
            ("https://b.example/x-id=GetObject?x-id=DeleteObject", false),
            ("https://b.example/?x-id=GetObjectRetention", false),
            ("https://b.example/x-id=GetObject", false),
        ] {
            assert_eq!(asks_for_content(uri), streams, "{uri}");
        }
    }
}
