//! GET: reads an object or a range of it, and resumes where a connection was cut.

use std::time::Instant;

use aws_sdk_s3::operation::get_object::GetObjectOutput;

use super::S3Store;
use super::judge::judge;
use super::stat::told_length;
use crate::store::aws::{Answer, ERROR_TYPE, Judged};
use crate::store::error::{ErrorKind, Operation, StoreError};
use crate::store::retry::Again;
use crate::store::{Locator, RetryPolicy};

/// Which bytes to read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Want {
    Whole { max_bytes: u64 },
    Range { offset: u64, len: u64 },
}

/// The bytes received so far.
#[derive(Default)]
struct ReceivedBytes {
    bytes: Vec<u8>,
    /// The tag of the object that they are from. Later bytes must have the same.
    etag: Option<String>,
    /// How many bytes there will be, once this is known.
    total: Option<u64>,
    /// The object's length, if no answer to a GET had it and a HEAD was needed.
    length: Option<u64>,
    /// Whether the present answer is a range of the object.
    is_range: bool,
}

/// The progress of a read over all its attempts.
struct Course {
    began: Instant,
    bytes: u64,
}

impl Course {
    /// Fails if a read is so slow that it would never end.
    fn require_pace(&self, patience: &RetryPolicy) -> Result<(), Judged> {
        let took = self.began.elapsed();
        if took <= patience.longest(self.bytes) {
            return Ok(());
        }
        let what = format!("it sent {} bytes in {} s", self.bytes, took.as_secs());
        Err(fatal(ErrorKind::Unavailable, what))
    }
}

impl S3Store<'_> {
    pub(super) async fn fetch(&self, at: &Locator, want: Want) -> Result<Vec<u8>, StoreError> {
        let (key, version) = self.parse(Operation::Get, at)?;
        if let Want::Range { offset, len: 0 } = want {
            // HTTP has no empty ranges.
            let bytes = self.head(Operation::Get, at).await?.stat.bytes;
            let past = offset > bytes;
            let too_short = || self.error(ErrorKind::TooShort, Operation::Get, key);
            return if past {
                Err(too_short())
            } else {
                Ok(Vec::new())
            };
        }
        let mut fetched = ReceivedBytes::default();
        let mut course = Course {
            began: Instant::now(),
            bytes: 0,
        };
        loop {
            self.fetch_on(key, version, want, &mut fetched, &mut course)
                .await?;
            if fetched.total.is_some() {
                return Ok(fetched.bytes);
            }
            // An answer without a length may have ended early without any sign of it.
            fetched.told(self.head(Operation::Get, at).await?.stat.bytes);
        }
    }

    /// Fetches the remaining bytes, until an answer ends.
    async fn fetch_on(
        &self,
        key: &str,
        version: Option<&str>,
        want: Want,
        fetched: &mut ReceivedBytes,
        course: &mut Course,
    ) -> Result<(), StoreError> {
        let attempts = self.persevere(Operation::Get, key, async |client, meter| {
            if fetched.is_whole() {
                return Ok(());
            }
            let had = fetched.bytes.len();
            course.require_pace(&self.settings.patience)?;
            let request = client
                .get_object()
                .bucket(&self.settings.bucket)
                .key(self.full(key))
                .set_version_id(version.map(str::to_owned))
                .set_range(fetched.range(want))
                .set_if_match(fetched.etag.clone().filter(|_| had > 0));
            let sent = request.send().await;
            let mut output = match sent {
                Ok(output) => output,
                Err(error) => {
                    let judged = judge(&error);
                    return Err(fetched.unless_changed(judged));
                }
            };
            if output.e_tag().is_none() && output.content_type() == Some(ERROR_TYPE) {
                return Err(Judged::error_in_200());
            }
            fetched.begin(&output, want)?;
            loop {
                match output.body.next().await {
                    None => break,
                    Some(Ok(piece)) => {
                        meter.add(piece.len());
                        course.bytes += piece.len() as u64;
                        course.require_pace(&self.settings.patience)?;
                        fetched.take(&piece, want)?;
                        if let Some(limit) = &self.limit {
                            tokio::time::sleep(limit.after(piece.len())).await;
                        }
                    }
                    Some(Err(error)) => {
                        let progressed = fetched.bytes.len() > had;
                        return Err(Judged {
                            progressed,
                            ..Judged::cut(&error)
                        });
                    }
                }
            }
            fetched.end(had)
        });
        // The future is too large for the stack of many threads.
        Box::pin(attempts).await
    }
}

impl ReceivedBytes {
    /// Returns whether an object is complete whose length had to be asked for.
    fn is_whole(&mut self) -> bool {
        let is_whole = self.length == Some(self.bytes.len() as u64);
        if is_whole {
            self.total = self.length;
        }
        is_whole
    }

    /// Notes the object's length. If more bytes than that have come, they are not of this object, and are
    /// dropped.
    fn told(&mut self, length: u64) {
        self.length = Some(length);
        if self.bytes.len() as u64 > length {
            self.bytes.clear();
        }
    }

    /// Returns the range header for the remaining bytes.
    fn range(&self, want: Want) -> Option<String> {
        let had = self.bytes.len() as u64;
        match want {
            Want::Whole { .. } => (had > 0).then(|| format!("bytes={had}-")),
            Want::Range { offset, len } => {
                // The end may be beyond any object. The answer is then that the object is too short.
                let last = offset.saturating_add(len - 1);
                Some(format!("bytes={}-{last}", offset.saturating_add(had)))
            }
        }
    }

    /// Starts the read again from the first byte if the object's tag has changed meanwhile.
    fn unless_changed(&mut self, judged: Judged) -> Judged {
        if judged.answer.status != Some(412) {
            return judged;
        }
        self.bytes.clear();
        let what = Answer::said("the object was replaced while it was read");
        Judged::new(ErrorKind::Corrupted, Again::FewTimes, what)
    }

    /// Reads an answer's head: how many bytes there will be in all.
    fn begin(&mut self, output: &GetObjectOutput, want: Want) -> Result<(), Judged> {
        let length = told_length(output.content_length());
        let range = output.content_range().and_then(parse_content_range);
        if range.is_none() {
            if let Want::Range { offset, len } = want {
                // The service ignored the range. Do not read gigabytes only to drop them.
                if offset > 0 || length.is_some_and(|length| length != len) {
                    return Err(whole_for_a_range());
                }
            }
            self.bytes.clear();
        }
        self.etag = output.e_tag().map(str::to_owned);
        self.is_range = range.is_some();
        let total = match (want, range) {
            (Want::Whole { .. }, Some((_, size))) => size.or(self.length),
            (Want::Whole { .. }, None) => length.or(self.length),
            (Want::Range { offset, len }, Some((_, Some(size))))
                if offset.checked_add(len).is_none_or(|end| end > size) =>
            {
                return Err(fatal(ErrorKind::TooShort, "the range ends beyond it"));
            }
            (Want::Range { len, .. }, _) => Some(len),
        };
        if let (Want::Whole { max_bytes }, Some(total)) = (want, total)
            && total > max_bytes
        {
            return Err(too_large(&format!("{total} bytes"), max_bytes));
        }
        if let Some((start, _)) = range {
            let expected = self.bytes.len() as u64
                + match want {
                    Want::Whole { .. } => 0,
                    Want::Range { offset, .. } => offset,
                };
            if start != expected {
                return Err(fatal(ErrorKind::Corrupted, "it sent another range"));
            }
        }
        self.total = total;
        let room = usize::try_from(total.unwrap_or_default())
            .map_err(|_| fatal(ErrorKind::TooLarge, "no room"))?;
        self.bytes
            .reserve_exact(room.saturating_sub(self.bytes.len()));
        Ok(())
    }

    fn take(&mut self, piece: &[u8], want: Want) -> Result<(), Judged> {
        let has = (self.bytes.len() + piece.len()) as u64;
        match (self.total, want) {
            (None, Want::Whole { max_bytes }) if has > max_bytes => {
                return Err(too_large(
                    &format!("more than {max_bytes} bytes"),
                    max_bytes,
                ));
            }
            (Some(total), Want::Range { .. }) if has > total && !self.is_range => {
                return Err(whole_for_a_range());
            }
            (Some(total), _) if has > total => {
                let what = "it sent more than it announced";
                return Err(fatal(ErrorKind::Corrupted, what));
            }
            _ => {}
        }
        self.bytes.extend_from_slice(piece);
        Ok(())
    }

    /// Checks, at the end of an answer, whether all bytes have come.
    fn end(&self, had: usize) -> Result<(), Judged> {
        let has = self.bytes.len();
        let Some(total) = self.total.filter(|total| has as u64 != *total) else {
            return Ok(());
        };
        let what = format!("the answer ended after {has} of {total} bytes");
        let judged = Judged::new(
            ErrorKind::Unavailable,
            Again::Wait(None),
            Answer::said(what),
        );
        Err(Judged {
            progressed: has > had,
            ..judged
        })
    }
}

fn fatal(kind: ErrorKind, what: impl Into<String>) -> Judged {
    Judged::new(kind, Again::No, Answer::said(what))
}

fn whole_for_a_range() -> Judged {
    let what = "it answered a range with the whole object";
    fatal(ErrorKind::Unsupported, what)
}

fn too_large(has: &str, max_bytes: u64) -> Judged {
    let what = format!("it has {has}, at most {max_bytes} were expected");
    fatal(ErrorKind::TooLarge, what)
}

/// Returns the first byte and the whole length of `bytes 0-99/1234`. A service may leave out the length:
/// `bytes 0-99/*`.
fn parse_content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    let size = match size {
        "*" => None,
        size => Some(size.parse().ok()?),
    };
    Some((start.parse().ok()?, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_range_gives_start_and_size() {
        for (text, expected) in [
            ("bytes 5-99/1234", (5, Some(1234))),
            ("bytes 5-99/*", (5, None)),
        ] {
            assert_eq!(parse_content_range(text), Some(expected), "{text}");
        }
        for wrong in ["bytes */1234", "bytes 5-99/", "5-99/1234", ""] {
            assert_eq!(parse_content_range(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_asked_for_next_begins_where_the_last_answer_ended() {
        let whole = Want::Whole { max_bytes: 100 };
        let range = Want::Range {
            offset: 10,
            len: 20,
        };
        let mut fetched = ReceivedBytes::default();
        assert_eq!(fetched.range(whole), None);
        assert_eq!(fetched.range(range).unwrap(), "bytes=10-29");
        fetched.bytes = vec![0; 7];
        assert_eq!(fetched.range(whole).unwrap(), "bytes=7-");
        assert_eq!(fetched.range(range).unwrap(), "bytes=17-29");
    }
}
