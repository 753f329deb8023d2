//! S3's storage classes and that of a Glacier vault, and the tiers by which the cold ones are thawed.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A storage class, by S3's name for it: `DEEP_ARCHIVE`. A vault has no classes, so it is one of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StorageClass {
    /// `STANDARD`: no minimum storage duration, and reading costs only the request.
    Standard,
    /// `STANDARD_IA`: cheaper to store, with a price per GB read.
    StandardIa,
    /// `ONEZONE_IA`: the same in one availability zone, which can be lost.
    OnezoneIa,
    /// `GLACIER_IR`, Glacier Instant Retrieval: readable at once, for a price per GB.
    GlacierIr,
    /// `GLACIER`, Glacier Flexible Retrieval: has to be thawed, which takes minutes or hours.
    Glacier,
    /// `DEEP_ARCHIVE`: has to be thawed, which takes hours or days.
    DeepArchive,
    /// `GLACIER_VAULT`, an archive in a Glacier vault: a retrieval job has to make it readable, which takes minutes
    /// or hours. No object of S3 has this class.
    #[serde(rename = "GLACIER_VAULT")]
    Vault,
}

/// The speed of a thaw: S3's tiers, in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// `expedited`: minutes, at a price, and only while there is capacity.
    Expedited,
    /// `standard`: hours.
    Standard,
    /// `bulk`: the cheapest, up to two days.
    Bulk,
}

/// A name that is no storage class.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown storage class `{}`, known: {}", .0, listed(&StorageClass::ALL, ", "))]
pub struct UnknownStorageClass(pub String);

/// A word that is no tier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown tier `{}`, known: {}", .0, listed(&Tier::ALL, ", "))]
pub struct UnknownTier(pub String);

/// A tier that a storage class does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{class} has no tier `{tier}`, {}", what_it_has(*class))]
pub struct TierRefused {
    /// The class that was to be thawed.
    pub class: StorageClass,
    /// The tier that it lacks.
    pub tier: Tier,
}

fn what_it_has(class: StorageClass) -> String {
    match class.tiers() {
        [] => "what lies in it is readable without a thaw".to_owned(),
        tiers => format!("only {}", listed(tiers, " and ")),
    }
}

fn listed<T: fmt::Display>(names: &[T], between: &str) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(between)
}

impl StorageClass {
    /// All of them: S3's from the warmest to the coldest, then the vault's.
    pub const ALL: [Self; 7] = [
        Self::Standard,
        Self::StandardIa,
        Self::OnezoneIa,
        Self::GlacierIr,
        Self::Glacier,
        Self::DeepArchive,
        Self::Vault,
    ];

    /// Those that an object of S3 can have, from the warmest to the coldest.
    pub const OF_S3: [Self; 6] = [
        Self::Standard,
        Self::StandardIa,
        Self::OnezoneIa,
        Self::GlacierIr,
        Self::Glacier,
        Self::DeepArchive,
    ];

    /// Its name: S3's, but for the vault's.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "STANDARD",
            Self::StandardIa => "STANDARD_IA",
            Self::OnezoneIa => "ONEZONE_IA",
            Self::GlacierIr => "GLACIER_IR",
            Self::Glacier => "GLACIER",
            Self::DeepArchive => "DEEP_ARCHIVE",
            Self::Vault => "GLACIER_VAULT",
        }
    }

    /// Whether an object must be thawed before it can be read.
    pub const fn is_cold(self) -> bool {
        matches!(self, Self::Glacier | Self::DeepArchive | Self::Vault)
    }

    /// Whether what a thaw makes readable is billed as a copy for as long as it stays readable. The output of a
    /// vault's job is not.
    pub const fn bills_thawed_copies(self) -> bool {
        matches!(self, Self::Glacier | Self::DeepArchive)
    }

    /// Returns the bytes that are billed beside each object, at the price of its class: the object's entry in the index
    /// of what has to be thawed (AWS's pages "Amazon S3 pricing" and "Amazon Glacier pricing").
    pub const fn index_bytes(self) -> u64 {
        if self.is_cold() { 32 << 10 } else { 0 }
    }

    /// Returns the bytes that are billed beside each object, at the price of `STANDARD`: its name and metadata, which
    /// can be listed without a thaw. A vault has no such class.
    pub const fn listed_bytes(self) -> u64 {
        match self {
            Self::Glacier | Self::DeepArchive => 8 << 10,
            _ => 0,
        }
    }

    /// Returns the bytes that are billed for an object that is smaller than that (AWS's page "Amazon S3 pricing": 128 KB for
    /// `STANDARD_IA`, `ONEZONE_IA` and `GLACIER_IR`).
    pub const fn minimum_bytes(self) -> u64 {
        match self {
            Self::StandardIa | Self::OnezoneIa | Self::GlacierIr => 128 << 10,
            Self::Standard | Self::Glacier | Self::DeepArchive | Self::Vault => 0,
        }
    }

    /// Returns the days that are billed even if the object is deleted earlier (AWS's page "Amazon S3
    /// pricing"; of a vault, "Deleting an Archive in Amazon Glacier").
    pub const fn minimum_days(self) -> u32 {
        match self {
            Self::Standard => 0,
            Self::StandardIa | Self::OnezoneIa => 30,
            Self::GlacierIr | Self::Glacier | Self::Vault => 90,
            Self::DeepArchive => 180,
        }
    }

    /// Returns the tiers that AWS accepts for it, the fastest first; empty if the class needs no thaw.
    pub const fn tiers(self) -> &'static [Tier] {
        match self {
            Self::Glacier | Self::Vault => &[Tier::Expedited, Tier::Standard, Tier::Bulk],
            Self::DeepArchive => &[Tier::Standard, Tier::Bulk],
            Self::Standard | Self::StandardIa | Self::OnezoneIa | Self::GlacierIr => &[],
        }
    }

    /// Returns the time within which a thaw typically ends: the upper bound that AWS's page "Understanding
    /// archive retrieval options" gives, and of a vault its page "Retrieving Glacier Archives".
    ///
    /// AWS promises none of these times. The five minutes of an expedited thaw apply to some hundreds of
    /// objects, each below 250 MB.
    pub const fn thaw_time(self, tier: Tier) -> Result<Duration, TierRefused> {
        Ok(match (self, tier) {
            (Self::Glacier | Self::Vault, Tier::Expedited) => Duration::from_mins(5),
            (Self::Glacier | Self::Vault, Tier::Standard) => Duration::from_hours(5),
            (Self::Glacier | Self::Vault, Tier::Bulk) | (Self::DeepArchive, Tier::Standard) => {
                Duration::from_hours(12)
            }
            (Self::DeepArchive, Tier::Bulk) => Duration::from_hours(48),
            (class, tier) => return Err(TierRefused { class, tier }),
        })
    }
}

impl Tier {
    /// All of them, the fastest first.
    pub const ALL: [Self; 3] = [Self::Expedited, Self::Standard, Self::Bulk];

    /// Returns the tier's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expedited => "expedited",
            Self::Standard => "standard",
            Self::Bulk => "bulk",
        }
    }
}

impl fmt::Display for StorageClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for StorageClass {
    type Err = UnknownStorageClass;

    fn from_str(name: &str) -> Result<Self, UnknownStorageClass> {
        let known = Self::ALL.into_iter().find(|class| class.as_str() == name);
        known.ok_or_else(|| UnknownStorageClass(name.to_owned()))
    }
}

impl FromStr for Tier {
    type Err = UnknownTier;

    fn from_str(word: &str) -> Result<Self, UnknownTier> {
        let known = Self::ALL.into_iter().find(|tier| tier.as_str() == word);
        known.ok_or_else(|| UnknownTier(word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_those_of_s3_and_read_back() {
        let names = StorageClass::ALL.map(StorageClass::as_str);
        assert_eq!(
            names,
            [
                "STANDARD",
                "STANDARD_IA",
                "ONEZONE_IA",
                "GLACIER_IR",
                "GLACIER",
                "DEEP_ARCHIVE",
                "GLACIER_VAULT",
            ]
        );
        assert_eq!(StorageClass::OF_S3, StorageClass::ALL[..6]);
        for class in StorageClass::ALL {
            assert_eq!(class.to_string().parse(), Ok(class));
            assert_eq!(json!(class), json!(class.as_str()));
        }
        for tier in Tier::ALL {
            assert_eq!(tier.to_string().parse(), Ok(tier));
            assert_eq!(json!(tier), json!(tier.as_str()));
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        for (name, message) in [
            ("deep_archive", "unknown storage class `deep_archive`"),
            ("REDUCED", "unknown storage class `REDUCED`"),
            ("", "unknown storage class ``"),
        ] {
            let error = name.parse::<StorageClass>().unwrap_err();
            assert_eq!(
                error.to_string(),
                format!(
                    "{message}, known: `STANDARD`, `STANDARD_IA`, `ONEZONE_IA`, `GLACIER_IR`, \
                     `GLACIER`, `DEEP_ARCHIVE`, `GLACIER_VAULT`"
                )
            );
        }
        assert_eq!(
            "Bulk".parse::<Tier>().unwrap_err().to_string(),
            "unknown tier `Bulk`, known: `expedited`, `standard`, `bulk`"
        );
    }

    #[test]
    fn a_class_is_thawed_by_its_own_tiers_in_its_own_times() {
        let hours = |class: StorageClass| -> Vec<(&str, f64)> {
            let hours = |tier: &Tier| class.thaw_time(*tier).unwrap().as_secs_f64() / 3600.0;
            let tiers = class.tiers().iter();
            tiers.map(|tier| (tier.as_str(), hours(tier))).collect()
        };
        for class in [StorageClass::Glacier, StorageClass::Vault] {
            assert_eq!(
                hours(class),
                [("expedited", 5.0 / 60.0), ("standard", 5.0), ("bulk", 12.0)]
            );
        }
        assert_eq!(
            hours(StorageClass::DeepArchive),
            [("standard", 12.0), ("bulk", 48.0)]
        );
        for class in StorageClass::ALL {
            assert_eq!(class.is_cold(), !class.tiers().is_empty(), "{class}");
            assert!(class.is_cold() || !class.bills_thawed_copies(), "{class}");
            assert_eq!(class.index_bytes() > 0, class.is_cold(), "{class}");
            assert!(class.listed_bytes() < class.index_bytes().max(1), "{class}");
            // What is billed beside an object leaves no small ones.
            assert!(class.minimum_bytes() == 0 || !class.is_cold(), "{class}");
            for tier in Tier::ALL {
                let has = class.tiers().contains(&tier);
                assert_eq!(class.thaw_time(tier).is_ok(), has, "{class} {tier}");
            }
        }
    }

    #[test]
    fn a_refused_tier_names_those_that_there_are() {
        for (class, tier, message) in [
            (
                StorageClass::DeepArchive,
                Tier::Expedited,
                "DEEP_ARCHIVE has no tier `expedited`, only `standard` and `bulk`",
            ),
            (
                StorageClass::GlacierIr,
                Tier::Bulk,
                "GLACIER_IR has no tier `bulk`, what lies in it is readable without a thaw",
            ),
        ] {
            let refusal = class.thaw_time(tier).unwrap_err();
            assert_eq!(refusal, TierRefused { class, tier });
            assert_eq!(refusal.to_string(), message);
        }
    }

    #[test]
    fn the_colder_a_class_the_longer_it_is_paid_for() {
        let least = StorageClass::OF_S3.map(|class| class.minimum_bytes() >> 10);
        assert_eq!(least, [0, 128, 128, 128, 0, 0]);
        let days = StorageClass::OF_S3.map(StorageClass::minimum_days);
        assert_eq!(days, [0, 30, 30, 90, 90, 180]);
        assert_eq!(StorageClass::Vault.minimum_days(), 90);
    }
}
