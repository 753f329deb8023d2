//! The output of jobs: read whole or in part, and resumed where a connection was cut.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::time::Instant;

use aws_sdk_glacier::Client;
use aws_sdk_glacier::operation::get_job_output::GetJobOutputOutput;

use super::judge::judge;
use super::{ACCOUNT, VaultClient};
use crate::model::{TreeHash, TreeHasher};
use crate::store::aws::{Answer, Judged, Meter};
use crate::store::error::{ErrorKind, Operation, StoreError};
use crate::store::retry::Again;

/// Takes the bytes of an output.
pub trait OutputSink {
    /// Takes the next bytes.
    fn take(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Drops all bytes so far: they are not those of the output.
    fn restart(&mut self) -> io::Result<()>;
}

impl OutputSink for Vec<u8> {
    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.extend(bytes);
        Ok(())
    }

    fn restart(&mut self) -> io::Result<()> {
        self.clear();
        Ok(())
    }
}

/// A file that is empty at first.
impl OutputSink for File {
    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn restart(&mut self) -> io::Result<()> {
        self.set_len(0)?;
        self.rewind()
    }
}

/// Which output to read.
#[derive(Debug, Clone)]
pub struct OutputRequest<'o> {
    /// What it is called in errors.
    pub subject: &'o str,
    /// The job's id.
    pub job: &'o str,
    /// The first byte and the number of bytes, at least 1; `None` for all.
    pub part: Option<(u64, u64)>,
    /// The tree hash that the bytes must have; `None` if it is not known.
    pub tree_hash: Option<TreeHash>,
    /// The most bytes to take.
    pub max_bytes: u64,
}

/// The progress of a read over all its attempts.
struct OutputProgress {
    began: Instant,
    /// All bytes that came, also those that were dropped.
    came: u64,
    /// The bytes that the sink has.
    had: u64,
    /// How many there will be, once this is known.
    total: Option<u64>,
    hasher: TreeHasher,
    /// The tree hash that the first answer gave for what was asked for.
    told: Option<TreeHash>,
}

impl OutputProgress {
    fn new(began: Instant, came: u64, total: Option<u64>) -> Self {
        Self {
            began,
            came,
            had: 0,
            total,
            hasher: TreeHasher::default(),
            told: None,
        }
    }
}

impl VaultClient<'_> {
    /// Reads the output of a job. Fails with [`ErrorKind::Cold`] if it has none yet, or none any more, and with
    /// [`ErrorKind::Corrupted`] if its tree hash is another one. Returns how many bytes it has given to the sink.
    pub fn output(
        &self,
        request: &OutputRequest<'_>,
        sink: &mut dyn OutputSink,
    ) -> Result<u64, StoreError> {
        self.run(async {
            let asked = request.part.map(|(_, len)| len);
            let mut progress = OutputProgress::new(Instant::now(), 0, asked);
            let read = self
                .requests
                .persevere(Operation::Get, request.subject, async |client, meter| {
                    self.read_on(client, meter, request, &mut progress, sink)
                        .await
                })
                .await;
            match read {
                Ok(()) => Ok(progress.had),
                Err(error) if error.is_not_found() => {
                    self.require_vault(Operation::Get, request.subject).await?;
                    let gone = self.error(ErrorKind::Cold, Operation::Get, request.subject);
                    Err(gone.because("the service has no output of this job any more"))
                }
                Err(error) => Err(error),
            }
        })
    }

    /// Reads the remaining bytes, until an answer ends.
    async fn read_on(
        &self,
        client: &Client,
        meter: &Meter,
        request: &OutputRequest<'_>,
        progress: &mut OutputProgress,
        sink: &mut dyn OutputSink,
    ) -> Result<(), Judged> {
        let before = progress.had;
        let offset = request.part.map_or(0, |(offset, _)| offset);
        let from = offset.saturating_add(before);
        let range = match (request.part, progress.total) {
            (Some((_, len)), _) => Some((from, offset.saturating_add(len - 1))),
            (None, Some(total)) if before > 0 => Some((from, total - 1)),
            (None, _) => None,
        };
        let sent = client
            .get_job_output()
            .account_id(ACCOUNT)
            .vault_name(&self.settings.vault)
            .job_id(request.job)
            .set_range(range.map(|(from, to)| format!("bytes={from}-{to}")))
            .send()
            .await;
        let mut output = sent.map_err(|error| not_ready(judge(&error)))?;
        // What to drop of an answer that is the whole output.
        let mut skip = begin(&output, request, from, progress)?;
        while let Some(piece) = output.body.next().await {
            let piece = piece.map_err(|error| Judged {
                progressed: progress.had > before,
                ..Judged::cut(&error)
            })?;
            meter.add(piece.len());
            progress.came += piece.len() as u64;
            self.require_pace(progress)?;
            let dropped = skip.min(piece.len() as u64);
            skip -= dropped;
            let mut wanted = &piece[usize::try_from(dropped).unwrap_or(piece.len())..];
            if let (Some(_), Some(total)) = (request.part, progress.total) {
                // The service may have ignored the range.
                let left = usize::try_from(total - progress.had).unwrap_or(usize::MAX);
                wanted = &wanted[..left.min(wanted.len())];
            }
            let had = progress.had + wanted.len() as u64;
            if progress.total.is_some_and(|total| had > total) {
                restart(request, progress, sink)?;
                return Err(Judged::damaged("it sent more bytes than the output has"));
            }
            if had > request.max_bytes {
                return Err(too_large(request.max_bytes));
            }
            progress.hasher.update(wanted);
            sink.take(wanted).map_err(|error| not_taken(&error))?;
            progress.had = had;
            if let Some(limit) = &self.limit {
                tokio::time::sleep(limit.after(piece.len())).await;
            }
            if request.part.is_some() && progress.total == Some(had) {
                break;
            }
        }
        Self::end(request, progress, before, sink)
    }

    /// Checks what has come when an answer has ended.
    fn end(
        request: &OutputRequest<'_>,
        progress: &mut OutputProgress,
        before: u64,
        sink: &mut dyn OutputSink,
    ) -> Result<(), Judged> {
        let total = *progress.total.get_or_insert(progress.had);
        if progress.had < total {
            let what = format!("its answer ended after {} of {total} bytes", progress.had);
            return Err(Judged {
                progressed: progress.had > before,
                ..Judged::new(
                    ErrorKind::Unavailable,
                    if progress.had > before {
                        Again::Wait(None)
                    } else {
                        Again::FewTimes
                    },
                    Answer::said(what),
                )
            });
        }
        let computed = std::mem::take(&mut progress.hasher).finish();
        let expected = [request.tree_hash, progress.told];
        if expected.iter().flatten().all(|hash| *hash == computed) {
            return Ok(());
        }
        restart(request, progress, sink)?;
        let what = format!("what it sent has the tree hash {computed}");
        Err(Judged::new(
            ErrorKind::Corrupted,
            Again::FewTimes,
            Answer::said(what),
        ))
    }

    /// Fails if a read is so slow that it would never end.
    fn require_pace(&self, progress: &OutputProgress) -> Result<(), Judged> {
        let took = progress.began.elapsed();
        if took <= self.settings.patience.longest(progress.had) {
            return Ok(());
        }
        let what = format!("it sent {} bytes in {} s", progress.came, took.as_secs());
        let answer = Answer::said(what);
        Err(Judged::new(ErrorKind::Unavailable, Again::No, answer))
    }
}

/// Reads an answer's head; returns how many of its bytes to drop.
fn begin(
    output: &GetJobOutputOutput,
    request: &OutputRequest<'_>,
    from: u64,
    progress: &mut OutputProgress,
) -> Result<u64, Judged> {
    let (least, most) = output.body.size_hint();
    let length = most.filter(|most| *most == least);
    let range = output.content_range().filter(|text| !text.is_empty());
    let is_first = progress.had == 0;
    let skip = match range.map(content_range) {
        None => from,
        Some(Some((first, _))) if first == from => 0,
        Some(_) => {
            let what = format!("it sent {range:?}, and not the bytes from {from} on");
            return Err(Judged::damaged(what));
        }
    };
    let whole = match range {
        // A part of it, if it is the first.
        Some(_) => range.and_then(content_range).and_then(|(_, whole)| whole),
        None => length,
    };
    if request.part.is_none() && progress.total.is_none() {
        progress.total = whole;
    }
    if request.part.is_none() && whole.is_some_and(|whole| whole > request.max_bytes) {
        return Err(too_large(request.max_bytes));
    }
    if is_first && skip == 0 && (range.is_some() || request.part.is_none()) {
        progress.told = output.checksum().and_then(|text| text.parse().ok());
    }
    Ok(skip)
}

/// The first byte of a `Content-Range`, and the length of the whole.
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, whole) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = range.split_once('-')?;
    Some((first.parse().ok()?, whole.parse().ok()))
}

/// Begins again with the first byte.
fn restart(
    request: &OutputRequest<'_>,
    progress: &mut OutputProgress,
    sink: &mut dyn OutputSink,
) -> Result<(), Judged> {
    sink.restart().map_err(|error| not_taken(&error))?;
    // What an answer said of the length may be as wrong as the rest of it.
    let asked = request.part.map(|(_, len)| len);
    *progress = OutputProgress::new(progress.began, progress.came, asked);
    Ok(())
}

fn not_taken(error: &io::Error) -> Judged {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::Full,
        _ => ErrorKind::Failed,
    };
    let answer = Answer::said(format!("what came could not be kept: {error}"));
    Judged::new(kind, Again::No, answer)
}

fn too_large(max_bytes: u64) -> Judged {
    let answer = Answer::said(format!("the output has more than {max_bytes} bytes"));
    Judged::new(ErrorKind::TooLarge, Again::No, answer)
}

/// Turns the answer that a job is not done into one that its output can't be read.
fn not_ready(judged: Judged) -> Judged {
    let said = judged.answer.message.as_deref().unwrap_or_default();
    if judged.answer.status == Some(400) && said.contains("available for download") {
        return Judged {
            kind: ErrorKind::Cold,
            again: Again::No,
            ..judged
        };
    }
    judged
}
