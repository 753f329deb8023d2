//! `report` says what `status`, `list`, `cost` and the metrics say, as JSON and on the page.

use std::collections::BTreeMap;
use std::fs;

use coldchain::model::Line;
use coldchain::model::size::Bytes;
use serde_json::Value;

use super::page::page_of;
use super::stage::family;
use crate::costs::ledger::CostMachine;

fn json(machine: &CostMachine, words: &str) -> Value {
    machine.run(&format!("{words} --json")).ok().json()
}

/// The tables of a page by their captions: rows of texts, names first.
fn tables(page: &str) -> BTreeMap<String, Vec<Vec<String>>> {
    let tables = page.split("<caption>").skip(1).map(|part| {
        let (caption, table) = part.split_once("</caption>").unwrap();
        let (table, _) = table.split_once("</table>").unwrap();
        let rows = table.split("<tr>").skip(1).map(|row| {
            let row = row.split("</tr>").next().unwrap();
            let cells = row
                .split_inclusive("</th>")
                .flat_map(|it| it.split_inclusive("</td>"));
            cells.map(text_of).collect()
        });
        (text_of(caption), rows.collect())
    });
    tables.collect()
}

/// The text of some markup.
fn text_of(markup: &str) -> String {
    let pieces = markup.split('<').enumerate().map(|(at, piece)| match at {
        0 => piece,
        _ => piece.split_once('>').unwrap().1,
    });
    let text: String = pieces.collect();
    [
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&amp;", "&"),
    ]
    .iter()
    .fold(text, |text, (escape, letter)| text.replace(escape, letter))
}

/// A text as the page shows it: commands are marked otherwise.
fn shown(value: &Value) -> String {
    Line(value.as_str().unwrap()).to_string().replace('`', "")
}

fn bytes(value: &Value) -> String {
    Bytes(value.as_u64().unwrap()).to_string()
}

fn usd(value: &Value) -> String {
    value
        .as_f64()
        .map_or_else(|| "?".to_owned(), |usd| format!("{usd:.2}"))
}

fn named<'v>(document: &'v Value, key: &str, name: &Value) -> &'v Value {
    let mut sources = document["sources"].as_array().unwrap().iter();
    sources.find(|source| source[key] == *name).unwrap()
}

#[test]
fn the_document_has_what_status_list_and_cost_have() {
    let machine = family();
    let report = json(&machine, "report");
    let [status, list, cost] = ["status", "list", "cost"].map(|words| json(&machine, words));
    let names = |document: &Value| -> Vec<Value> {
        let sources = document["sources"].as_array().unwrap().iter();
        sources.map(|source| source["name"].clone()).collect()
    };
    // `status` leaves out what the config does not name, and `cost` what has no store.
    assert_eq!(names(&report), ["home", "mail", "photos", "www", "gone"]);
    assert_eq!(names(&report), names(&list));
    assert_eq!(names(&status), names(&report)[..4]);
    for (name, value) in status.as_object().unwrap() {
        match name.as_str() {
            "at" | "sources" => {}
            _ => assert_eq!(&report[name], value, "{name}"),
        }
    }
    for source in status["sources"].as_array().unwrap() {
        let reported = named(&report, "name", &source["name"]);
        for (field, value) in source.as_object().unwrap() {
            assert_eq!(&reported[field], value, "{field}");
        }
    }
    for source in list["sources"].as_array().unwrap() {
        let reported = named(&report, "name", &source["name"]);
        assert_eq!(reported["chains"], source["chains"]);
    }
    for source in cost["sources"].as_array().unwrap() {
        let reported = named(&report, "name", &source["source"]);
        assert_eq!(&reported["cost"], source);
    }
    assert_eq!(
        named(&report, "name", &"photos".into())["cost"],
        Value::Null
    );
    for (name, value) in cost.as_object().unwrap() {
        if name != "sources" {
            assert_eq!(&report["cost"][name], value, "{name}");
        }
    }
    let home = named(&report, "name", &"home".into());
    assert_eq!(home["snapshots"].as_array().unwrap().len(), 12);
    let checks = home["checks"].as_array().unwrap().iter();
    let (mut any, mut deep) = (0, 0);
    for age in checks {
        any += age["archives"].as_u64().unwrap();
        deep += age["deep_archives"].as_u64().unwrap();
    }
    let archives = home["archives"].as_u64().unwrap();
    assert_eq!((any, deep), (archives, archives), "each is counted once");
}

#[test]
fn the_metrics_have_the_same_numbers() {
    let machine = family();
    let report = json(&machine, "report");
    machine.run("status --metrics m.prom --json").ok();
    let text = fs::read_to_string(machine.path("m.prom")).unwrap();
    let mut held = 0;
    for source in report["sources"].as_array().unwrap() {
        let name = source["name"].as_str().unwrap();
        let mut holds = |metric: &str, labels: &str, value: &Value| {
            let line = format!("\n{metric}{{source=\"{name}\"{labels}}} ");
            let Some((_, rest)) = text.split_once(&line) else {
                assert!(["photos", "gone"].contains(&name), "{line}");
                return;
            };
            let measured: f64 = rest.lines().next().unwrap().parse().unwrap();
            assert!(
                (measured - value.as_f64().unwrap()).abs() < 0.006,
                "{line}{measured}: {value}"
            );
            held += 1;
        };
        let alarms = source["alarms"].as_array().unwrap().len();
        holds("coldchain_source_archives", "", &source["archives"]);
        holds("coldchain_source_stored_bytes", "", &source["sealed_bytes"]);
        holds("coldchain_source_alarms", "", &alarms.into());
        let overdue = u8::from(source["overdue"].as_bool().unwrap());
        holds("coldchain_source_overdue", "", &overdue.into());
        for place in source["cost"]["places"].as_array().into_iter().flatten() {
            let label = format!(",place=\"{}\"", place["place"].as_str().unwrap());
            holds(
                "coldchain_place_cost_usd_per_month",
                &label,
                &place["usd_a_month"],
            );
        }
        for copy in source["copies"].as_array().unwrap() {
            let label = format!(",place=\"{}\"", copy["name"].as_str().unwrap());
            let lacks = copy["of"].as_u64().unwrap() - copy["archives"].as_u64().unwrap();
            holds("coldchain_copy_lacking_archives", &label, &lacks.into());
        }
        for mirror in source["mirrors"].as_array().unwrap() {
            let label = format!(",mirror=\"{}\"", mirror["to"].as_str().unwrap());
            holds("coldchain_mirror_behind_dates", &label, &mirror["behind"]);
        }
    }
    assert!(held > 15, "{held}");
}

#[test]
fn the_page_has_the_facts_of_the_document() {
    let machine = family();
    let report = json(&machine, "report");
    let page = page_of(&machine);
    // One that is not closed stays.
    let text = text_of(page.split_once("</style>").unwrap().1).replace('`', "");
    let tables = tables(&page);
    for (at, source) in report["sources"].as_array().unwrap().iter().enumerate() {
        let name = source["name"].as_str().unwrap();
        let row = &tables["All sources"][at + 1];
        assert_eq!(row[0], name);
        assert_eq!(
            row[6],
            source["alarms"].as_array().unwrap().len().to_string()
        );
        for alarm in source["alarms"].as_array().unwrap() {
            let words = shown(&alarm["text"]);
            assert!(text.contains(&words), "{words}");
        }
        archives(source, &tables, row);
        costs(source, &tables);
        for (caption, key) in [("copy", "copies"), ("mirror", "mirrors")] {
            let places = tables[&format!("Places of {name}")].iter();
            let of_kind = places.filter(|row| row[1] == caption).count();
            assert_eq!(of_kind, source[key].as_array().unwrap().len());
        }
    }
    for unknown in report["unknown"].as_array().unwrap() {
        assert!(text.contains(&shown(unknown)), "{unknown}");
    }
    assert_eq!(tables["The last run of each command"].len(), 6);
}

/// Each archive is in the table of its source, and the checks of all are counted.
fn archives(source: &Value, tables: &BTreeMap<String, Vec<Vec<String>>>, row: &[String]) {
    let name = source["name"].as_str().unwrap();
    let chains = source["chains"].as_array().unwrap().iter();
    let mut expected: Vec<Vec<String>> = chains
        .flat_map(|chain| chain["archives"].as_array().unwrap())
        .map(|archive| {
            let word = |key: &str| archive[key].as_str().unwrap().to_owned();
            let damaged = if archive["damaged"] == true {
                ", damaged"
            } else {
                ""
            };
            vec![
                word("date"),
                word("kind"),
                word("state") + damaged,
                bytes(&archive["raw_bytes"]),
                bytes(&archive["sealed_bytes"]),
            ]
        })
        .collect();
    if expected.is_empty() {
        assert_eq!(row[3..5], ["-", "-"]);
        return;
    }
    assert_eq!(row[1], source["newest"]["date"].as_str().unwrap());
    assert_eq!(row[3], source["archives"].to_string());
    assert_eq!(row[4], bytes(&source["sealed_bytes"]));
    assert_eq!(row[5], usd(&source["usd_a_month"]));
    expected.sort();
    let shown = &tables[&format!("{} archives of {name}", expected.len())];
    let mut shown: Vec<Vec<String>> = shown[1..]
        .iter()
        .map(|row| [0, 1, 2, 4, 5].map(|at| row[at].clone()).to_vec())
        .collect();
    shown.sort();
    assert_eq!(shown, expected);
    let checks = &tables[&format!("Archives of {name} by the age of their last check")];
    for (row, age) in checks[1..].iter().zip(source["checks"].as_array().unwrap()) {
        let counts = [&age["archives"], &age["deep_archives"]].map(ToString::to_string);
        assert_eq!(
            (&row[0], &row[1..]),
            (&age["age"].as_str().unwrap().to_owned(), &counts[..])
        );
    }
}

/// What is stored, the months to come and the tiers of a restore are those of `cost`.
fn costs(source: &Value, tables: &BTreeMap<String, Vec<Vec<String>>>) {
    let (name, cost) = (source["name"].as_str().unwrap(), &source["cost"]);
    let places = cost["places"].as_array().into_iter().flatten();
    for place in places {
        let stored = &tables[&format!("What is stored of {name}, and USD a month")];
        let of_place = |row: &&Vec<String>| {
            row[0].ends_with(place["place"].as_str().unwrap()) && row[1] == "all"
        };
        let row = stored.iter().find(of_place).unwrap();
        let numbers = [bytes(&place["bytes"]), usd(&place["usd_a_month"])];
        assert_eq!(row[row.len() - 2..], numbers);
    }
    let months = cost["forecast"]["months"].as_array().into_iter().flatten();
    for (at, month) in months.enumerate() {
        let row = &tables[&format!("Forecast of {name} in USD")][at + 1];
        assert!(month["first"].as_str().unwrap().starts_with(&row[0][..7]));
        let stored = month["places"].as_array().unwrap().iter();
        let stored: u64 = stored.map(|place| place["bytes"].as_u64().unwrap()).sum();
        assert_eq!(*row.last().unwrap(), Bytes(stored).to_string());
    }
    let restores = cost["restore"].as_array().into_iter().flatten();
    for restore in restores {
        let place = restore["place"].as_str().unwrap();
        let tiers = restore["tiers"].as_array().into_iter().flatten();
        for (at, tier) in tiers.enumerate() {
            let row = &tables[&format!("A restore of {name} from {place}: hours, and USD")][at + 1];
            assert_eq!(row[0], tier["tier"].as_str().unwrap());
            let hours: f64 = row[1].parse().unwrap();
            assert!((hours - tier["hours"].as_f64().unwrap()).abs() < 0.001);
            assert_eq!(*row.last().unwrap(), usd(&tier["usd"]));
        }
    }
}
