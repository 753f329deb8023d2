//! What would happen, and why.

use super::config::LoadedConfig;
use super::date::ApiDate;
use super::error::ApiError;
use crate::commands;
use crate::plan::{Action, BackupPlan};

/// What to plan. The default is tonight, for every source.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct PlanRequest {
    /// The source; `None` is all.
    pub source: Option<String>,
    /// The first date; `None` is today.
    pub date: Option<ApiDate>,
    /// The last date; `None` is the first date alone.
    pub until: Option<ApiDate>,
}

/// What nights would do.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NightPlans {
    /// By date, and for a date in the order of the config's sources.
    pub nights: Vec<PlannedNight>,
    /// What should be put right, but does not stop a backup.
    pub warnings: Vec<String>,
}

/// What one night would do to one source.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlannedNight {
    /// The source.
    pub source: String,
    /// The date.
    pub date: ApiDate,
    /// What it would archive.
    pub action: PlannedAction,
    /// Why.
    pub reason: String,
    /// The chains that it would retire, each by the date of its full.
    pub retired_chains: Vec<ApiDate>,
    /// The snapshots here that it would delete. Only a plan of one date has them.
    pub deleted_snapshots: Vec<String>,
    /// What it would send to mirrors. Only a plan of one date has it.
    pub mirrors: Vec<PlannedMirror>,
    /// What it would bring to copies in other stores. Only a plan of one date has it.
    pub copies: Vec<PlannedCopy>,
}

/// What a night archives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlannedAction {
    /// Nothing.
    Nothing,
    /// The whole snapshot.
    Full,
    /// What changed since an earlier archive.
    Incremental {
        /// The date of that archive.
        send_parent: ApiDate,
    },
}

/// What a mirror would get.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlannedMirror {
    /// Where it is, as the config has it.
    pub to: String,
    /// The snapshots, oldest first.
    pub snapshots: Vec<String>,
}

/// What a copy in another store would get.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlannedCopy {
    /// The name of its store in the config.
    pub to: String,
    /// How many archives it lacks as of the last run.
    pub archives: usize,
    /// Their sealed bytes.
    pub bytes: u64,
    /// Whether it gets the night's own archive as well.
    pub new_archive: bool,
}

/// Says what `backup` would do on a date, or on each date of a span, and why. It changes nothing, and needs no
/// privilege.
///
/// ```no_run
/// use coldchain::api::{self, Config, PlanRequest, PlannedAction};
///
/// # fn main() -> Result<(), api::Error> {
/// let config = Config::load("/etc/coldchain/config.toml".as_ref())?;
/// let mut request = PlanRequest::default();
/// request.source = Some("home".to_owned());
/// for night in api::plan(&config, &request)?.nights {
///     if night.action == PlannedAction::Full {
///         println!("{}: {} will be a full: {}", night.source, night.date, night.reason);
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub fn plan(config: &LoadedConfig, request: &PlanRequest) -> Result<NightPlans, ApiError> {
    let sources = config.chosen(request.source.as_deref())?;
    let config = &config.inner;
    let date = request.date.map(|date| date.0);
    let date = date.unwrap_or_else(|| commands::today(config));
    let until = request.until.map(|until| until.0);
    let plans = commands::plan::plans(config, &sources, date, until)?;
    Ok(NightPlans {
        nights: plans.into_iter().map(PlannedNight::from).collect(),
        warnings: commands::plan::standing_warnings(config),
    })
}

impl From<BackupPlan> for PlannedNight {
    fn from(plan: BackupPlan) -> Self {
        let mirrors = plan.mirrors.into_iter().map(|mirror| PlannedMirror {
            to: mirror.to.to_string(),
            snapshots: mirror.send.iter().map(ToString::to_string).collect(),
        });
        let copies = plan.copies.into_iter().map(|copy| PlannedCopy {
            to: copy.to,
            archives: copy.archives,
            bytes: copy.bytes,
            new_archive: copy.has_new,
        });
        let expire = plan.expire.iter();
        let snapshots = plan.snapshots.iter();
        Self {
            source: plan.source.to_string(),
            date: ApiDate(plan.date),
            action: match plan.action {
                Action::None => PlannedAction::Nothing,
                Action::Full => PlannedAction::Full,
                Action::Incremental { send_parent, .. } => PlannedAction::Incremental {
                    send_parent: ApiDate(send_parent.date),
                },
            },
            reason: plan.reason,
            retired_chains: expire.map(|expiry| ApiDate(expiry.chain)).collect(),
            deleted_snapshots: snapshots.map(|it| it.name.to_string()).collect(),
            mirrors: mirrors.collect(),
            copies: copies.collect(),
        }
    }
}
