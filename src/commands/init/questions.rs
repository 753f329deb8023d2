//! What a new config says: from the command line, and from the terminal where that says nothing.

use std::env;
use std::fmt::{self, Write as _};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::places::{at_home, parse_place, proposed_directory, say_if_on_the_same_filesystem};
use crate::btrfs::{
    BtrfsError, HeldDirectory, VisibleSubvolume, identity, quota_sizes, visible_subvolumes,
};
use crate::cli::{DEFAULT_KIT, Init};
use crate::commands::prompt;
use crate::config::{DescribedSource, FreeNames, StoreConfig};
use crate::error::{Error, InitError};
use crate::model::size::Bytes;
use crate::model::{Line, SourceName, StorageClass};
use crate::printing::{say, say_lines};
use crate::seal::Recipients;

/// How long the files of one subvolume are counted for its line, and those of all together.
const COUNTING: [Duration; 2] = [Duration::from_secs(3), Duration::from_secs(15)];

/// How many subvolumes are shown. A machine with containers has thousands.
const MOST_SHOWN: usize = 40;

/// Places whose content is installed or made again rather than restored.
const OF_THE_SYSTEM: [&str; 12] = [
    "/boot",
    "/usr",
    "/tmp",
    "/swap",
    "/var/log",
    "/var/cache",
    "/var/tmp",
    "/var/lib/docker",
    "/var/lib/containers",
    "/var/lib/machines",
    "/var/lib/portables",
    "/opt",
];

/// What a new config says.
#[derive(Debug)]
pub(super) struct Described {
    pub(super) sources: Vec<DescribedSource>,
    /// `None` if snapshots alone are kept.
    pub(super) store: Option<StoreConfig>,
    /// Recipients beside that of the kit.
    pub(super) spare: Vec<String>,
    pub(super) kit: PathBuf,
}

/// Whether missing answers are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asks {
    OnTerminal,
    Nothing,
}

/// Returns what the new config says; `None` if nothing describes it, so that it is written to be filled in.
pub(super) fn described(args: &Init, asks: Asks) -> Result<Option<Described>, Error> {
    let is_asked = asks == Asks::OnTerminal;
    if !is_asked && !args.describes() {
        return Ok(None);
    }
    let sources = if !args.source.is_empty() {
        described_sources(&args.source)?
    } else if is_asked {
        let found = visible_subvolumes();
        if found.is_empty() {
            say(
                "no btrfs subvolume is mounted here, so there is nothing to ask; name what is archived in the config",
            );
            return Ok(None);
        }
        ask_for_sources(&found)?
    } else {
        return Err(InitError::NoSource.into());
    };
    let store = match &args.store {
        Some(place) => Some(with_class(
            parse_place(place, &sources)?,
            args.storage_class,
        )?),
        None if is_asked => ask_for_store(&sources, args.storage_class)?,
        None => None,
    };
    if let Some(store) = &store {
        say_if_on_the_same_filesystem(store, &sources);
    }
    let mut spare = args.recipient.clone();
    let mut kit = args.kit.clone();
    if is_asked && store.is_some() {
        if kit == Path::new(DEFAULT_KIT) {
            let answer = prompt::line(&format!("Where does the recovery kit go? [{DEFAULT_KIT}]"))?;
            if !answer.is_empty() {
                kit = at_home(answer).into();
            }
        }
        if spare.is_empty() {
            spare = ask_for_recipient()?;
        }
    }
    if !spare.is_empty() {
        Recipients::parse(&spare)?;
    }
    Ok(Some(Described {
        sources,
        store,
        spare,
        kit,
    }))
}

/// Returns the sources that were named, each `[NAME=]SUBVOLUME`.
fn described_sources<T: AsRef<str>>(said: &[T]) -> Result<Vec<DescribedSource>, Error> {
    let mut names = FreeNames::default();
    let mut sources: Vec<DescribedSource> = Vec::new();
    for said in said.iter().map(AsRef::as_ref) {
        let (name, path) = match said.split_once('=') {
            // A path may contain it.
            Some((name, path)) if !name.contains('/') => {
                let name: SourceName = name.parse().map_err(|fault| InitError::Name {
                    said: said.to_owned(),
                    fault,
                })?;
                (Some(name), path)
            }
            _ => (None, said),
        };
        let path = std::path::absolute(path).map_err(|error| Error::file("find", path, error))?;
        // Without a slash at its end.
        let path: PathBuf = path.components().collect();
        if identity(&path)?.read_only {
            return Err(InitError::ReadOnly(path).into());
        }
        let Some(subvolume) = path.to_str() else {
            return Err(InitError::NotUtf8(path).into());
        };
        let wanted = match &name {
            Some(name) => name.as_str(),
            None => path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or(""),
        };
        let free = names.name(wanted);
        if name.as_ref().is_some_and(|name| *name != free) {
            return Err(InitError::SameName(name.unwrap_or(free)).into());
        }
        sources.push(DescribedSource {
            snapshots: names.snapshots(&free, None, subvolume),
            subvolume: subvolume.to_owned(),
            name: free,
        });
    }
    Ok(sources)
}

fn ask_for_sources(found: &[VisibleSubvolume]) -> Result<Vec<DescribedSource>, Error> {
    let until = Instant::now() + COUNTING[1];
    let shown = &found[..found.len().min(MOST_SHOWN)];
    let sizes: Vec<Size> = shown.iter().map(|it| Size::of(&it.path, until)).collect();
    let widths = shown
        .iter()
        .map(|it| Line(it.path.display()).to_string().chars().count());
    let width = widths.max().unwrap_or(0);
    let mut text = "These btrfs subvolumes are here:\n".to_owned();
    for (at, (subvolume, size)) in shown.iter().zip(&sizes).enumerate() {
        let path = Line(subvolume.path.display()).to_string();
        let _ = writeln!(text, "  {:>2}  {path:width$}  {size}", at + 1);
    }
    if found.len() > shown.len() {
        let more = found.len() - shown.len();
        let _ = writeln!(text, "  and {more} more; give their paths");
    }
    say_lines(&text);
    let proposed = proposed(shown, &sizes);
    let default: Vec<String> = proposed.iter().map(|at| (at + 1).to_string()).collect();
    let default = default.join(" ");
    loop {
        let question = format!("What is archived? Numbers or paths [{default}]");
        let answer = prompt::line(&question)?;
        let answer = if answer.is_empty() { &default } else { &answer };
        match chosen(answer, found).and_then(|paths| described_sources(&paths)) {
            Ok(sources) if sources.is_empty() => say("name at least one"),
            Ok(sources) => return Ok(sources),
            Err(error) => say(&error),
        }
    }
}

/// Returns the paths that an answer names.
fn chosen(answer: &str, found: &[VisibleSubvolume]) -> Result<Vec<String>, Error> {
    // A path may have spaces.
    if answer.starts_with('/') && Path::new(answer).is_dir() {
        return Ok(vec![answer.to_owned()]);
    }
    let words = answer.split([' ', ',']).filter(|word| !word.is_empty());
    let paths = words.map(|word| {
        let number = word.parse::<usize>().ok();
        match number.and_then(|number| found.get(number.checked_sub(1)?)) {
            Some(subvolume) => match subvolume.path.to_str() {
                Some(path) => Ok(path.to_owned()),
                None => Err(InitError::NotUtf8(subvolume.path.clone()).into()),
            },
            None => Ok(word.to_owned()),
        }
    });
    paths.collect()
}

/// Returns the numbers of what is likely to be irreplaceable; of all that hold something if there is no such subvolume.
fn proposed(found: &[VisibleSubvolume], sizes: &[Size]) -> Vec<usize> {
    let is_own = |it: &VisibleSubvolume| {
        let of_system = OF_THE_SYSTEM.iter().any(|place| it.path.starts_with(place));
        let is_hidden = |part: &std::ffi::OsStr| part.as_encoded_bytes().starts_with(b".");
        it.path != Path::new("/") && !of_system && !it.path.iter().any(is_hidden)
    };
    let filled = || {
        let all = found.iter().zip(sizes).enumerate();
        all.filter(|(_, (_, size))| !matches!(size, Size::Counted { bytes: 0, .. }))
    };
    let own = filled().filter(|(_, (it, _))| is_own(it));
    let own: Vec<usize> = own.map(|(at, _)| at).collect();
    if own.is_empty() {
        return filled().map(|(at, _)| at).collect();
    }
    own
}

/// What a subvolume holds.
enum Size {
    Counted { bytes: u64, is_whole: bool },
    Unknown(BtrfsError),
}

impl Size {
    fn of(path: &Path, until: Instant) -> Self {
        if let Some(sizes) = quota_sizes(path) {
            return Self::Counted {
                bytes: sizes.referenced,
                is_whole: true,
            };
        }
        let until = until.min(Instant::now() + COUNTING[0]);
        match HeldDirectory::open(path).and_then(|held| held.file_totals(until)) {
            Ok(totals) => Self::Counted {
                bytes: totals.bytes,
                is_whole: totals.is_whole,
            },
            Err(error) => Self::Unknown(error),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Counted {
                bytes: 0,
                is_whole: true,
            } => f.write_str("empty"),
            Self::Counted {
                bytes,
                is_whole: true,
            } => Bytes(*bytes).fmt(f),
            Self::Counted { bytes, .. } => write!(f, "more than {}", Bytes(*bytes)),
            Self::Unknown(error) => write!(f, "not counted: {}", Line(error)),
        }
    }
}

fn ask_for_store(
    sources: &[DescribedSource],
    class: Option<StorageClass>,
) -> Result<Option<StoreConfig>, Error> {
    let proposed = proposed_directory(sources);
    let default = match &proposed {
        Some(path) => path.display().to_string(),
        None => "none: keep snapshots alone".to_owned(),
    };
    loop {
        let answer = prompt::line(&format!(
            "Where do archives go? A directory on another disk, s3://BUCKET/PREFIX, or `none` [{default}]"
        ))?;
        let place = match answer.as_str() {
            "" => match &proposed {
                Some(_) => default.clone(),
                None => return Ok(None),
            },
            "none" => return Ok(None),
            _ => at_home(answer),
        };
        let asked = parse_place(&place, sources).and_then(|store| match store {
            StoreConfig::S3 { .. } => ask_for_bucket(store, class),
            store => with_class(store, class),
        });
        match asked {
            Ok(store) => return Ok(Some(store)),
            Err(error @ (Error::Interrupted(_) | Error::Init(InitError::NoAnswer))) => {
                return Err(error);
            }
            Err(error) => say(&error),
        }
    }
}

/// Asks for what the URL of a bucket does not say.
fn ask_for_bucket(store: StoreConfig, class: Option<StorageClass>) -> Result<StoreConfig, Error> {
    let StoreConfig::S3 { settings, .. } = &store else {
        return Ok(store);
    };
    let mut url = store.address();
    let mut add = |name: &str, value: &str| {
        if !value.is_empty() {
            url.push(if url.contains('?') { '&' } else { '?' });
            url.extend([name, "=", value]);
        }
    };
    if settings.endpoint.is_none() {
        let endpoint = prompt::line("The URL of the service [Amazon S3]")?;
        add("endpoint", &endpoint);
    }
    let variables = ["AWS_REGION", "AWS_DEFAULT_REGION"];
    let of_environment = variables.iter().any(|name| env::var_os(name).is_some());
    if settings.region.is_none() && !of_environment {
        let region = prompt::line("The region of the bucket [as the AWS configuration says]")?;
        add("region", &region);
    }
    if settings.credentials_file.is_none() && settings.profile.is_none() {
        let file = prompt::line(
            "A file with the credentials, as ~/.aws/credentials [as the AWS CLI finds them]",
        )?;
        if !file.is_empty() {
            let file = at_home(file);
            let file =
                fs::canonicalize(&file).map_err(|error| Error::file("find", &file, error))?;
            add("credentials_file", &file.to_string_lossy());
        }
    }
    let store = with_class(StoreConfig::from_url(&url)?, class)?;
    let usual = store.storage_class().unwrap_or(StorageClass::Standard);
    if class.is_some() {
        return Ok(store);
    }
    let names: Vec<&str> = StorageClass::OF_S3
        .iter()
        .map(|class| class.as_str())
        .collect();
    let names = names.join(", ");
    loop {
        let answer = prompt::line(&format!("The storage class, one of {names} [{usual}]"))?;
        if answer.is_empty() {
            return Ok(store);
        }
        match answer.to_uppercase().parse::<StorageClass>() {
            Ok(class) if StorageClass::OF_S3.contains(&class) => {
                return with_class(store, Some(class));
            }
            _ => say(format_args!(
                "`{}` is no storage class of S3",
                Line(&answer)
            )),
        }
    }
}

/// Gives a bucket its storage class. Without one: a cold class at Amazon, and elsewhere the one that all services have.
fn with_class(mut store: StoreConfig, class: Option<StorageClass>) -> Result<StoreConfig, Error> {
    match &mut store {
        StoreConfig::S3 { settings, .. } => {
            let usual = match settings.endpoint {
                Some(_) => StorageClass::Standard,
                None => StorageClass::DeepArchive,
            };
            settings.storage_class = class.unwrap_or(usual);
        }
        _ if class.is_some() => return Err(InitError::NoClasses.into()),
        _ => {}
    }
    Ok(store)
}

fn ask_for_recipient() -> Result<Vec<String>, Error> {
    loop {
        let answer = prompt::line(
            "A second public key that opens the archives if the kit is lost, of age or ssh [none]",
        )?;
        if answer.is_empty() {
            return Ok(Vec::new());
        }
        let keys = vec![answer];
        match Recipients::parse(&keys) {
            Ok(_) => return Ok(keys),
            Err(error) => say(error),
        }
    }
}
