//! `thaw --batch`: the files of an S3 Batch Operations job that thaws, in place of the requests.

use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::catalog::Catalog;
use crate::cli::{Everywhere, Thawing};
use crate::commands::output::{answer, answer_json, count};
use crate::config::StoreConfig;
use crate::engine::{Estimate, NewFile, Pricing, WantedSegments, cold_objects, new_token};
use crate::error::{Error, RestoreError};
use crate::model::shell::quoted;
use crate::model::{BucketObject, SourceName};
use crate::plan::{BatchThaw, BatchTier, CostRefusal, RestorePlan, TO_FILL_IN, partition};
use crate::printing::shown;
use crate::store::S3Settings;

/// The end of the name of the job's file.
const JOB: &str = ".job.json";

/// The two files, which have no names yet.
pub(super) struct BatchFiles<'a> {
    manifest: (NewFile, &'a Path),
    job: (NewFile, PathBuf),
    settings: &'a S3Settings,
}

impl<'a> BatchFiles<'a> {
    /// Begins the files. Refuses a store that has no batch jobs, and files that exist.
    pub(super) fn begin(
        path: &'a Path,
        source: &SourceName,
        store: &'a StoreConfig,
    ) -> Result<Self, Error> {
        let refused = |why: &str| RestoreError::NoBatch {
            source_name: source.clone(),
            why: why.to_owned(),
        };
        let settings = match store {
            StoreConfig::Dir { .. } => return Err(refused("its store is a directory").into()),
            StoreConfig::S3 { settings, .. } if settings.endpoint.is_some() => {
                return Err(refused(
                    "its store has an `endpoint`, and only AWS's own S3 has batch jobs",
                )
                .into());
            }
            StoreConfig::S3 { settings, .. } => settings,
            StoreConfig::Vault { .. } => {
                return Err(refused("its store is a vault, and only S3 has batch jobs").into());
            }
        };
        let mut beside = OsString::from(path);
        beside.push(JOB);
        let beside = PathBuf::from(beside);
        Ok(Self {
            manifest: (NewFile::create(path)?, path),
            job: (NewFile::create(&beside)?, beside),
            settings,
        })
    }

    /// Writes the files, and says what to do with them.
    pub(super) fn write(
        self,
        (plan, estimate): (&RestorePlan, &Estimate),
        thawing: &Thawing,
        (wanted, catalog): (&WantedSegments<'_>, &mut Catalog),
        everywhere: &Everywhere,
    ) -> Result<(), Error> {
        let objects = cold_objects(wanted, self.settings, thawing.tier, catalog)?;
        if objects.is_empty() {
            return nothing_cold(plan, everywhere);
        }
        let tier = BatchTier::of(thawing.tier).expect("the objects were asked for with it");
        let (manifest_path, job_path) = (self.manifest.1, self.job.1.clone());
        let name = manifest_path.file_name().unwrap_or_default();
        let job = BatchThaw {
            objects: &objects,
            tier,
            days: thawing.thaw_days,
            partition: partition(self.settings.region.as_deref()),
            manifest_name: &name.to_string_lossy(),
            description: &format!("coldchain thaw {} {}", plan.source, plan.date),
            token: &new_token(),
        };
        refuse_cost(&job, estimate, thawing)?;
        let (mut manifest, mut beside) = (self.manifest.0, self.job.0);
        write_to(&mut manifest, manifest_path, job.manifest().as_bytes())?;
        let text = format!("{:#}\n", job.job());
        write_to(&mut beside, &job_path, text.as_bytes())?;
        // The manifest last: where it is, all is there.
        beside.publish()?;
        manifest.publish()?;
        if everywhere.json {
            return answer_json(&json!({
                "source": plan.source, "date": plan.date, "objects": objects.len(),
                "manifest": shown(manifest_path), "job": shown(&job_path),
                "usd_job": job.usd().as_number(), "fill_in": TO_FILL_IN,
            }));
        }
        let text = told(
            plan,
            &job,
            estimate,
            thawing,
            self.settings,
            [manifest_path, &job_path],
        )?;
        answer(&text)
    }
}

/// Refuses the job if it costs too much together with the restore.
fn refuse_cost(job: &BatchThaw<'_>, estimate: &Estimate, thawing: &Thawing) -> Result<(), Error> {
    let total = estimate.usd_total(thawing.tier)?;
    match (thawing.max_cost, total.map(|total| total + job.usd())) {
        (Some(limit), Some(estimate)) if estimate > limit => {
            Err(CostRefusal::Beyond { estimate, limit }.into())
        }
        _ => Ok(()),
    }
}

fn write_to(file: &mut NewFile, path: &Path, bytes: &[u8]) -> Result<(), Error> {
    file.write_all(bytes)
        .map_err(|error| Error::file("write", path, error))
}

fn nothing_cold(plan: &RestorePlan, everywhere: &Everywhere) -> Result<(), Error> {
    if everywhere.json {
        return answer_json(&json!({
            "source": plan.source, "date": plan.date, "objects": 0, "manifest": null, "job": null,
        }));
    }
    if everywhere.quiet {
        return Ok(());
    }
    answer(&format!(
        "{}: {}: nothing has to be requested, so no manifest was written\n",
        plan.source, plan.date
    ))
}

/// Says what was written, what it costs, and what to do next.
fn told(
    plan: &RestorePlan,
    job: &BatchThaw<'_>,
    estimate: &Estimate,
    thawing: &Thawing,
    settings: &S3Settings,
    [manifest, job_file]: [&Path; 2],
) -> Result<String, Error> {
    let BucketObject { bucket, .. } = &job.objects[0];
    let whole = match (estimate.usd_total(thawing.tier)?, estimate.pricing) {
        (Some(usd), _) => format!("; the thaw and the restore cost USD {usd} by estimate"),
        (None, Pricing::Free) => String::new(),
        (None, _) => "; the prices of the thaw are not known".to_owned(),
    };
    let region = settings
        .region
        .as_deref()
        .map(|it| format!(" --region {it}"));
    let region = region.unwrap_or_default();
    let (name, manifest_word) = (quoted(job.manifest_name.as_bytes()), shown(manifest));
    let body = quoted(manifest.as_os_str().as_bytes());
    let file = [b"file://", job_file.as_os_str().as_bytes()].concat();
    let file = quoted(&file);
    let (source, usd, fill_in) = (&plan.source, job.usd(), TO_FILL_IN.join(", "));
    Ok(format!(
        "{source}: {date}: {objects} to thaw, none of which was requested\n  \
           manifest  {manifest_word}\n  \
           job       {job_file}\n  \
           cost      USD {usd} for the job (AWS's list price in us-east-1: https://aws.amazon.com/s3/pricing/){whole}\n\
         next:\n  \
           1. store the manifest in a bucket of the same account and region, and note the ETag that this prints:\n     \
              aws s3api put-object{region} --bucket MANIFEST_BUCKET --key {name} --body {body} --query ETag --output text\n  \
           2. replace {fill_in} in the job's file. The role must be one that batchoperations.s3.amazonaws.com can \
              assume, with s3:RestoreObject on {bucket}, s3:GetObject on the manifest and s3:PutObject on the reports\n  \
           3. create the job:\n     \
              aws s3control create-job{region} --cli-input-json {file}\n  \
           4. see how far the thaw is, and restore when all is readable:\n     \
              coldchain thaw {argument} --date {date} --status\n",
        date = plan.date,
        objects = count(job.objects.len() as u64, "segment"),
        job_file = shown(job_file),
        argument = source.as_argument(),
    ))
}
