//! The command's sums agree to the cent with the independent calculation.

#![expect(
    clippy::cast_precision_loss,
    reason = "an error of a billionth of a cent is none"
)]

use std::fmt::Write as _;

use chrono::NaiveDate;
use coldchain::model::{ArchiveKind, StorageClass};
use serde_json::Value;

use super::ledger::{CostMachine, ENTRY_BYTES, MadeUp, readme_bytes};
use super::oracle::{Bill, Class, Night, Object, a_month, bills, class, nights};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const SEGMENT: u64 = 128 * MIB;

/// What the command may be above the exact sum: it rounds each part up to a millionth of a dollar.
const ROUNDED_UP: f64 = 0.000_1;

fn date(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

/// Two chains of a source that is archived since the summer: eight gigabytes, and incrementals with a small last segment.
fn archives() -> Vec<MadeUp> {
    let mut archives = Vec::new();
    for (at, text) in [
        "2026-06-01 full",
        "2026-06-07",
        "2026-06-14",
        "2026-06-21",
        "2026-07-01",
        "2026-07-07",
        "2026-07-14",
        "2026-07-21",
        "2026-08-01",
        "2026-08-07",
        "2026-08-14",
        "2026-08-21",
        "2026-09-01 full",
        "2026-09-07",
        "2026-09-14",
        "2026-09-21",
        "2026-10-01",
        "2026-10-07",
        "2026-10-14",
    ]
    .into_iter()
    .enumerate()
    {
        let raw = if text.ends_with("full") {
            90 * GIB + 5000
        } else {
            // The last segment of each is far below 128 KiB.
            (3 + at as u64 % 5) * GIB + 700 + at as u64
        };
        archives.push(MadeUp::new(text, raw, SEGMENT));
    }
    archives
}

/// What the forecast takes an archive to be, told in other words: the last full, and the incremental in the middle of
/// the last twelve by size.
fn to_come(archives: &[MadeUp], is_full: bool) -> &MadeUp {
    let sealed = |archive: &MadeUp| archive.segments.iter().map(|it| it.1).sum::<u64>();
    let kind = if is_full {
        ArchiveKind::Full
    } else {
        ArchiveKind::Incremental
    };
    let mut alike: Vec<&MadeUp> = archives.iter().filter(|it| it.kind == kind).collect();
    if is_full {
        return alike.last().unwrap();
    }
    alike.reverse();
    alike.truncate(12);
    alike.sort_by_key(|archive| (sealed(archive), archive.date));
    alike[6]
}

/// The segments of an archive to come: all but the last have the same share.
fn segments_to_come(archive: &MadeUp) -> Vec<u64> {
    let raw: u64 = archive.segments.iter().map(|it| it.0).sum();
    let sealed: u64 = archive.segments.iter().map(|it| it.1).sum();
    let whole = u128::from(sealed) * u128::from(SEGMENT) / u128::from(raw);
    let whole = u64::try_from(whole).unwrap();
    let mut segments: Vec<u64> = (1..raw.div_ceil(SEGMENT)).map(|_| whole).collect();
    segments.push(sealed - whole * segments.len() as u64);
    segments
}

/// The place that is reckoned.
struct Reckoned {
    class: Class,
    standard: Class,
    /// Days after an archive that the place gets it, of those that are there.
    late: u64,
    /// The bytes of the ledger's markers.
    markers: Vec<u64>,
}

/// All objects that the place has had or will have.
fn objects(place: &Reckoned, archives: &[MadeUp], span: (NaiveDate, NaiveDate)) -> Vec<Object> {
    let before = archives.iter().map(|archive| Night {
        date: archive.date,
        is_full: archive.kind == ArchiveKind::Full,
    });
    let (all, retired) = nights(&before.collect::<Vec<_>>(), span);
    let mut objects = Vec::new();
    let mut add = |bytes: u64, class: Class, put: NaiveDate, deleted: Option<NaiveDate>| {
        objects.push(Object {
            bytes,
            class,
            put,
            deleted,
            is_new: put >= span.0,
        });
    };
    for (night, deleted) in &all {
        let known = archives.iter().find(|archive| archive.date == night.date);
        let archive = known.unwrap_or_else(|| to_come(archives, night.is_full));
        let (segments, put) = match known {
            Some(known) => (
                known.segments.iter().map(|it| it.1).collect(),
                night.date + chrono::Days::new(place.late),
            ),
            None => (segments_to_come(archive), night.date),
        };
        for bytes in segments {
            add(bytes, place.class, put, *deleted);
        }
        for bytes in &archive.contents {
            add(*bytes, place.standard, put, *deleted);
        }
        add(1024, place.standard, put, *deleted);
        add(ENTRY_BYTES as u64, place.standard, put, None);
    }
    for bytes in &place.markers {
        add(*bytes, place.standard, date("2026-01-01"), None);
    }
    let deletions = retired.iter().map(|day| *day + chrono::Days::new(7));
    for day in retired.iter().copied().chain(deletions) {
        add(1024, place.standard, day, None);
    }
    objects
}

/// Whether a sum of the command is this one, rounded up to the cent.
fn is_cent_of(told: &Value, exact: f64) -> bool {
    let cents = |usd: f64| (usd * 100.0).ceil() / 100.0;
    // What is exact has its own rounding: far below a millionth.
    let (least, most) = (cents(exact - 1e-6), cents(exact + ROUNDED_UP));
    let told = told.as_f64();
    told.is_some_and(|told| (least - 1e-6..=most + 1e-6).contains(&told))
}

#[track_caller]
fn agree(what: &str, told: &Value, exact: f64) {
    assert!(
        is_cent_of(told, exact),
        "{what}: the command says {told}, the calculation {exact}"
    );
}

/// Compares the months of a place, and returns how many of them have each kind of cost.
fn compare(what: &str, document: &Value, place: usize, bills: &[(NaiveDate, Bill)]) -> [usize; 3] {
    let months = document["sources"][0]["forecast"]["months"]
        .as_array()
        .unwrap();
    assert_eq!(months.len(), bills.len());
    let mut seen = [0; 3];
    for (month, (first, bill)) in months.iter().zip(bills) {
        assert_eq!(month["first"], first.to_string());
        let told = &month["places"][place];
        let what = format!("{what} {first}");
        agree(
            &format!("{what} storage"),
            &told["usd_storage"],
            bill.storage,
        );
        agree(
            &format!("{what} requests"),
            &told["usd_requests"],
            bill.requests,
        );
        agree(
            &format!("{what} early"),
            &told["usd_early_deletion"],
            bill.early,
        );
        for (seen, cost) in seen
            .iter_mut()
            .zip([bill.storage, bill.requests, bill.early])
        {
            *seen += usize::from(cost > 0.02);
        }
    }
    seen
}

fn home_config(store: &str, rest: &str) -> String {
    format!("[[source]]\nname = \"home\"\nstore = \"main\"\n{rest}\n[store.main]\n{store}\n")
}

const BUCKET: &str = "s3://archives/laptop?region=us-east-1";

fn bucket(class: &str) -> String {
    format!(
        "type = \"s3\"\nbucket = \"archives\"\nprefix = \"laptop\"\nregion = \"us-east-1\"\nstorage_class = \"{class}\""
    )
}

/// The span of a year from a date in the middle of a month.
fn span() -> (NaiveDate, NaiveDate) {
    (date("2026-10-20"), date("2027-10-31"))
}

fn reckon(place: &Reckoned, archives: &[MadeUp]) -> (f64, Vec<(NaiveDate, Bill)>) {
    let objects = objects(place, archives, span());
    let there: Vec<Object> = objects.iter().filter(|it| !it.is_new).cloned().collect();
    let now = a_month(&there, place.standard, span().0);
    (
        now,
        bills(&objects, place.standard, span())
            .into_iter()
            .collect(),
    )
}

/// A class whose prices are so many times the list's.
fn times(name: &str, factor: f64) -> Class {
    let list = class(name);
    Class {
        gb_month: list.gb_month * factor,
        put: list.put * factor,
        ..list
    }
}

/// The lines of a config by which these classes and `STANDARD` have such prices. By a hundred thousand times the list, what is
/// billed beside an object is worth a cent too.
fn prices_times(name: &str, factor: f64) -> String {
    let mut lines = String::new();
    let names = ["STANDARD", name];
    for name in names.iter().take(if name == "STANDARD" { 1 } else { 2 }) {
        let Class { gb_month, put, .. } = times(name, factor);
        writeln!(
            lines,
            "[prices.{name}]\ngb_month = {gb_month:.5}\nput_per_1000 = {put:.5}"
        )
        .unwrap();
    }
    lines
}

const WORDS: &str = "--from 2026-10-20 --months 12 --json";

#[test]
fn a_year_in_each_class_agrees_to_the_cent() {
    let archives = archives();
    for (name, known, is_early) in [
        ("STANDARD", StorageClass::Standard, false),
        ("STANDARD_IA", StorageClass::StandardIa, false),
        ("GLACIER_IR", StorageClass::GlacierIr, false),
        ("GLACIER", StorageClass::Glacier, false),
        ("DEEP_ARCHIVE", StorageClass::DeepArchive, true),
    ] {
        let config = home_config(&bucket(name), "");
        let mut machine = CostMachine::new(&config);
        machine.source("home", BUCKET, &archives);
        machine.in_class(known, &archives);
        for factor in [1.0, 100_000.0] {
            if factor > 1.0 {
                machine.write_config(&(config.clone() + &prices_times(name, factor)));
            }
            let document = machine.cost(WORDS).ok().json();
            let place = Reckoned {
                class: times(name, factor),
                standard: times("STANDARD", factor),
                late: 0,
                markers: vec![readme_bytes()],
            };
            let (now, bills) = reckon(&place, &archives);
            agree(name, &document["usd_a_month"], now);
            let [storage, _, early] = compare(name, &document, 0, &bills);
            assert!(storage > 12 && (early > 0) == is_early, "{name}: {bills:?}");
        }
    }
}

#[test]
fn a_year_in_a_vault_agrees_to_the_cent() {
    let archives = archives();
    let vault = "type = \"glacier-vault\"\nvault = \"archives\"\nregion = \"us-east-1\"\nledger_store = \"ledger\"";
    let config = home_config(vault, "") + "[store.ledger]\n" + &bucket("STANDARD") + "\n";
    let mut machine = CostMachine::new(&config);
    let url = "glacier-vault://us-east-1/archives?ledger=s3://archives/laptop%3Fregion=us-east-1";
    machine.source("home", url, &archives);
    machine.in_class(StorageClass::Vault, &archives);
    for factor in [1.0, 100_000.0] {
        if factor > 1.0 {
            machine.write_config(&(config.clone() + &prices_times("GLACIER_VAULT", factor)));
        }
        let document = machine.cost(WORDS).ok().json();
        let place = Reckoned {
            class: times("GLACIER_VAULT", factor),
            standard: times("STANDARD", factor),
            late: 0,
            markers: vec![readme_bytes()],
        };
        let (now, bills) = reckon(&place, &archives);
        agree("vault", &document["usd_a_month"], now);
        compare("vault", &document, 0, &bills);
    }
}

#[test]
fn a_year_in_two_places_with_other_prices_agrees_to_the_cent() {
    let archives = archives();
    let prices = "[prices]\ndate = 2026-10-01\nregion = \"eu-central-1\"\n\
        egress = [{ up_to_gb = 10, per_gb = 0 }, { per_gb = 0.05 }]\n\
        [prices.STANDARD]\ngb_month = 0.0245\nput_per_1000 = 0.0054\n\
        [prices.DEEP_ARCHIVE]\ngb_month = 0.0018\nput_per_1000 = 0.06\n";
    let far = "[store.far]\ntype = \"s3\"\nbucket = \"far\"\nregion = \"us-west-2\"\nstorage_class = \"DEEP_ARCHIVE\"\n";
    let config = home_config(&bucket("STANDARD_IA"), "copies = [\"far\"]") + far + prices;
    let mut machine = CostMachine::new(&config);
    let ledger = machine.source("home", BUCKET, &archives);
    machine.in_class(StorageClass::StandardIa, &archives);
    let url = "s3://far?region=us-west-2";
    let all = (archives.as_slice(), 3);
    machine.copy(&ledger, url, StorageClass::DeepArchive, all);
    let document = machine.cost(WORDS).ok().json();
    let standard = Class {
        gb_month: 0.0245,
        put: 0.0054,
        ..class("STANDARD")
    };
    let home = Reckoned {
        class: class("STANDARD_IA"),
        standard,
        late: 0,
        markers: vec![readme_bytes()],
    };
    let copy = Reckoned {
        class: Class {
            gb_month: 0.0018,
            put: 0.06,
            ..class("DEEP_ARCHIVE")
        },
        standard,
        late: 3,
        markers: vec![readme_bytes(), 1024],
    };
    for (at, place) in [home, copy].iter().enumerate() {
        let (now, bills) = reckon(place, &archives);
        let told = &document["sources"][0]["places"][at]["usd_a_month"];
        agree(&format!("place {at}"), told, now);
        let [_, _, early] = compare(&format!("place {at}"), &document, at, &bills);
        assert_eq!(early > 0, at == 1);
    }
    // The service copies by itself: no egress. What is read at home is each segment that a copy gets.
    let home_class = class("STANDARD_IA");
    let (all, _) = nights(
        &archives
            .iter()
            .map(|archive| Night {
                date: archive.date,
                is_full: archive.kind == ArchiveKind::Full,
            })
            .collect::<Vec<_>>(),
        span(),
    );
    let months = document["sources"][0]["forecast"]["months"]
        .as_array()
        .unwrap();
    for month in months {
        let (first, last) = (
            month["first"].as_str().unwrap(),
            month["last"].as_str().unwrap(),
        );
        let within = all
            .iter()
            .filter(|(night, _)| (date(first)..=date(last)).contains(&night.date));
        let copied = within.map(|(night, _)| segments_to_come(to_come(&archives, night.is_full)));
        let copied: Vec<u64> = copied.flatten().collect();
        let bytes: u64 = copied.iter().sum();
        let reads = copied.len() as f64 * home_class.get / 1000.0
            + bytes as f64 / GIB as f64 * home_class.retrieval;
        agree(
            &format!("copying {first}"),
            &month["places"][0]["usd_copying"],
            reads,
        );
    }
}

#[test]
fn stored_otherwise_is_what_it_would_have_been() {
    // As if by magic: the same archives in segments of 256 MiB in GLACIER_IR, told by a ledger that has them so.
    let archives = archives();
    let mut machine = CostMachine::new(&home_config(&bucket("DEEP_ARCHIVE"), ""));
    machine.source("home", BUCKET, &archives);
    machine.in_class(StorageClass::DeepArchive, &archives);
    let words = format!("{WORDS} --storage-class GLACIER_IR --segment-size 128MiB");
    let otherwise = &machine.cost(&words).ok().json()["sources"][0]["otherwise"];

    let mut really = CostMachine::new(&home_config(&bucket("GLACIER_IR"), ""));
    really.source("home", BUCKET, &archives);
    really.in_class(StorageClass::GlacierIr, &archives);
    let really = &really.cost(WORDS).ok().json()["sources"][0];
    // The lengths of segments differ by some bytes.
    for (one, other) in [
        (&otherwise["usd_a_month"], &really["usd_a_month"]),
        (
            &otherwise["forecast"]["whole_months"][0]["usd"],
            &really["forecast"]["whole_months"][0]["usd"],
        ),
    ] {
        let difference = one.as_f64().unwrap() - other.as_f64().unwrap();
        assert!(difference.abs() < 0.011, "{one} {other}");
    }
}

/// How many sums of a place's months are not those of the calculation.
fn differences(document: &Value, bills: &[(NaiveDate, Bill)]) -> usize {
    let months = document["sources"][0]["forecast"]["months"].as_array();
    let months = months.unwrap().iter().zip(bills);
    let of_month = months.flat_map(|(month, (_, bill))| {
        let told = &month["places"][0];
        [
            (&told["usd_storage"], bill.storage),
            (&told["usd_requests"], bill.requests),
            (&told["usd_early_deletion"], bill.early),
        ]
    });
    of_month
        .filter(|(told, exact)| !is_cent_of(told, *exact))
        .count()
}

/// Changes what is reckoned.
type Change = fn(&mut Reckoned);

#[test]
fn a_rule_that_is_a_little_wrong_is_noticed() {
    let archives = archives();
    let of = |name: &str, known: StorageClass| {
        let config = home_config(&bucket(name), "") + &prices_times(name, 100_000.0);
        let mut machine = CostMachine::new(&config);
        machine.source("home", BUCKET, &archives);
        machine.in_class(known, &archives);
        machine.cost(WORDS).ok().json()
    };
    let (deep, infrequent) = ("DEEP_ARCHIVE", "STANDARD_IA");
    let documents = [
        (deep, of(deep, StorageClass::DeepArchive)),
        (infrequent, of(infrequent, StorageClass::StandardIa)),
    ];
    let wrong: [(&str, &str, Change); 12] = [
        ("right", deep, |_| {}),
        ("right", infrequent, |_| {}),
        ("a day less", deep, |place| {
            place.class.days = 179;
        }),
        ("an index of 31 KiB", deep, |place| {
            place.class.beside.0 = 31 << 10;
        }),
        ("names of 7 KiB", deep, |place| {
            place.class.beside.1 = 7 << 10;
        }),
        ("a minimum of 100 KiB", infrequent, |place| {
            place.class.least = 100 << 10;
        }),
        ("a dearer PUT", deep, |place| {
            place.class.put += 1.0;
        }),
        ("a dearer month", infrequent, |place| {
            place.class.gb_month += 0.001;
        }),
        ("a dearer month of STANDARD", deep, |place| {
            place.standard.gb_month += 0.1;
        }),
        ("a dearer PUT into STANDARD", deep, |place| {
            place.standard.put += 1.0;
        }),
        ("stored a day later", deep, |place| {
            place.late = 1;
        }),
        ("no signpost", deep, |place| place.markers.clear()),
    ];
    for (what, name, change) in wrong {
        let mut place = Reckoned {
            class: times(name, 100_000.0),
            standard: times("STANDARD", 100_000.0),
            late: 0,
            markers: vec![readme_bytes()],
        };
        change(&mut place);
        let (_, bills) = reckon(&place, &archives);
        let (_, document) = documents.iter().find(|(it, _)| *it == name).unwrap();
        let found = differences(document, &bills);
        assert_eq!(found == 0, what == "right", "{what}: {found}");
    }
}
