//! What is stored costs.

use clap::Args;

use super::Thawing;
use crate::config::parse_size;
use crate::model::StorageClass;
use crate::model::segment::is_segment_size;

/// The most months of a forecast.
const MOST_MONTHS: i64 = 120;

/// A storage class of S3.
pub(super) fn class_of_s3(name: &str) -> Result<StorageClass, String> {
    let class: StorageClass = name
        .to_uppercase()
        .parse()
        .map_err(|error: crate::model::UnknownStorageClass| error.to_string())?;
    if StorageClass::OF_S3.contains(&class) {
        Ok(class)
    } else {
        Err("a vault is no class of S3, and takes no new customers".to_owned())
    }
}

/// Raw bytes of a segment.
fn segment_size(text: &str) -> Result<u64, String> {
    let bytes = parse_size(text).filter(|bytes| is_segment_size(*bytes));
    bytes.ok_or_else(|| "give a size like 128MiB, from 16MiB to 1GiB in steps of 4MiB".to_owned())
}

/// `coldchain cost`
#[derive(Debug, Args)]
#[command(after_help = KNOWS)]
pub struct Cost {
    /// Only these sources
    #[arg(value_name = "SOURCE")]
    words: Vec<String>,
    /// The same as SOURCE
    #[arg(long, value_name = "NAME")]
    source: Vec<String>,
    /// Foresee so many whole months, 1 to 120
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=MOST_MONTHS))]
    pub months: u32,
    /// Begin the forecast with the night of this date: YYYY-MM-DD, `today` or `yesterday`; today if left out
    #[arg(long, value_name = "DATE")]
    pub from: Option<String>,
    /// Also say what it would cost if the segments at home had always been in this storage class of S3
    #[arg(long, value_name = "CLASS", value_parser = class_of_s3)]
    pub storage_class: Option<StorageClass>,
    /// Also say what it would cost if segments had always had this size: 16MiB to 1GiB
    #[arg(long, value_name = "SIZE", value_parser = segment_size)]
    pub segment_size: Option<u64>,
    /// Also say what each archive costs
    #[arg(long)]
    pub archives: bool,
    /// Days that a restore keeps thawed what it has thawed
    #[arg(long, value_name = "N", default_value_t = Thawing::DAYS, value_parser = clap::value_parser!(u32).range(1..=365))]
    pub thaw_days: u32,
}

impl Cost {
    /// The names that were typed.
    pub fn sources(&self) -> impl Iterator<Item = &str> {
        self.words.iter().chain(&self.source).map(String::as_str)
    }
}

const KNOWS: &str = "\
    It asks no store, and needs neither a network nor an identity: it reads the catalog alone. Sums are in US dollars before \
    tax, by a dated table of list prices, which [prices] in the config replaces.";
