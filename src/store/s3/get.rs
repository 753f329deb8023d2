//! GET: an object, or a range of it, resumed where a connection was cut.

use std::time::Instant;

use aws_sdk_s3::operation::get_object::GetObjectOutput;

use super::S3Store;
use super::answer::{Answer, ERROR_TYPE, Judged, judge};
use crate::store::error::{ErrorKind, Operation, StoreError};
use crate::store::patience::Again;
use crate::store::{Locator, Patience};

/// Which bytes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Want {
    Whole { max_bytes: u64 },
    Range { offset: u64, len: u64 },
}

/// What has come so far.
#[derive(Default)]
struct Fetched {
    bytes: Vec<u8>,
    /// The version that they are of: what comes later must be of the same.
    etag: Option<String>,
    /// How many there will be, once that is known.
    total: Option<u64>,
}

/// How a read is getting on, over all its attempts.
struct Course {
    began: Instant,
    bytes: u64,
}

impl Course {
    /// Ends a read that gets on too slowly ever to come to its end.
    fn require_pace(&self, patience: &Patience) -> Result<(), Judged> {
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
            // No range is empty in HTTP.
            let bytes = self.head(Operation::Get, at).await?.stat.bytes;
            let past = offset > bytes;
            let too_short = || self.error(ErrorKind::TooShort, Operation::Get, key);
            return if past {
                Err(too_short())
            } else {
                Ok(Vec::new())
            };
        }
        let mut fetched = Fetched::default();
        let mut course = Course {
            began: Instant::now(),
            bytes: 0,
        };
        let attempts = self.persevere(Operation::Get, key, async |client, meter| {
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
                        fetched.take(&piece)?;
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
        Box::pin(attempts).await?;
        Ok(fetched.bytes)
    }
}

impl Fetched {
    /// The header for what is still to come.
    fn range(&self, want: Want) -> Option<String> {
        let had = self.bytes.len() as u64;
        match want {
            Want::Whole { .. } => (had > 0).then(|| format!("bytes={had}-")),
            Want::Range { offset, len } => {
                // Beyond any object, if need be: then the answer is that it is too short.
                let last = offset.saturating_add(len - 1);
                Some(format!("bytes={}-{last}", offset.saturating_add(had)))
            }
        }
    }

    /// An object whose tag changed under way is read again from its start.
    fn unless_changed(&mut self, judged: Judged) -> Judged {
        if judged.answer.status != Some(412) {
            return judged;
        }
        self.bytes.clear();
        let what = Answer::said("the object was replaced while it was read");
        Judged::new(ErrorKind::Corrupted, Again::FewTimes, what)
    }

    /// Reads an answer's head: how much there will be in all.
    fn begin(&mut self, output: &GetObjectOutput, want: Want) -> Result<(), Judged> {
        let length = u64::try_from(output.content_length().unwrap_or_default()).unwrap_or_default();
        let range = output.content_range().and_then(parse_content_range);
        if range.is_none() {
            if let Want::Range { offset, len } = want {
                // The service ignored the range. Reading gigabytes to throw them away helps nobody.
                if offset > 0 || length != len {
                    let what = "it answered a range with the whole object";
                    return Err(fatal(ErrorKind::Unsupported, what));
                }
            }
            self.bytes.clear();
        }
        self.etag = output.e_tag().map(str::to_owned);
        let total = match (want, range) {
            (Want::Whole { .. }, Some((_, size))) => size,
            (Want::Whole { .. }, None) => length,
            (Want::Range { offset, len }, Some((_, size))) => {
                if offset.checked_add(len).is_none_or(|end| end > size) {
                    return Err(fatal(ErrorKind::TooShort, "the range ends beyond it"));
                }
                len
            }
            (Want::Range { len, .. }, None) => len,
        };
        if let Want::Whole { max_bytes } = want
            && total > max_bytes
        {
            let what = format!("it has {total} bytes, at most {max_bytes} were expected");
            return Err(fatal(ErrorKind::TooLarge, what));
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
        self.total = Some(total);
        let room = usize::try_from(total).map_err(|_| fatal(ErrorKind::TooLarge, "no room"))?;
        self.bytes
            .reserve_exact(room.saturating_sub(self.bytes.len()));
        Ok(())
    }

    fn take(&mut self, piece: &[u8]) -> Result<(), Judged> {
        let total = self.total.unwrap_or_default();
        if (self.bytes.len() + piece.len()) as u64 > total {
            return Err(fatal(
                ErrorKind::Corrupted,
                "it sent more than it announced",
            ));
        }
        self.bytes.extend_from_slice(piece);
        Ok(())
    }

    /// The answer is over: whether everything has come.
    fn end(&self, had: usize) -> Result<(), Judged> {
        let total = self.total.unwrap_or_default();
        let has = self.bytes.len();
        if has as u64 == total {
            return Ok(());
        }
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

/// First byte and whole length of `bytes 0-99/1234`.
fn parse_content_range(text: &str) -> Option<(u64, u64)> {
    let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    Some((start.parse().ok()?, size.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_range_gives_start_and_size() {
        assert_eq!(parse_content_range("bytes 5-99/1234"), Some((5, 1234)));
        for wrong in ["bytes */1234", "bytes 5-99/*", "5-99/1234", ""] {
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
        let mut fetched = Fetched::default();
        assert_eq!(fetched.range(whole), None);
        assert_eq!(fetched.range(range).unwrap(), "bytes=10-29");
        fetched.bytes = vec![0; 7];
        assert_eq!(fetched.range(whole).unwrap(), "bytes=7-");
        assert_eq!(fetched.range(range).unwrap(), "bytes=17-29");
    }
}
