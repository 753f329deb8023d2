//! `coldchain man`: the manual pages, from the command line's types and from the pages of `docs`.

mod document;
mod markdown;
mod page;

use std::fs;
use std::path::Path;

use serde_json::json;

use super::output::{answer, answer_json, answer_lines, count};
use crate::cli::{Everywhere, Man, program};
use crate::error::Error;
use crate::printing::shown;
use page::{ManPage, all_pages, main_page};

pub(super) fn run(args: &Man, everywhere: &Everywhere) -> Result<(), Error> {
    if let Some(directory) = &args.directory {
        return write_all(directory, everywhere);
    }
    let page = main_page(program());
    if everywhere.json {
        return answer_json(&json!({ "page": page.name, "text": page.text }));
    }
    answer(&page.text)
}

fn write_all(directory: &Path, everywhere: &Everywhere) -> Result<(), Error> {
    fs::create_dir_all(directory).map_err(|source| Error::file("create", directory, source))?;
    let pages = all_pages(program());
    for ManPage { name, text } in &pages {
        let path = directory.join(name);
        fs::write(&path, text).map_err(|source| Error::file("write", &path, source))?;
    }
    if everywhere.json {
        let names: Vec<&str> = pages.iter().map(|page| page.name.as_str()).collect();
        return answer_json(&json!({ "directory": shown(directory), "pages": names }));
    }
    if everywhere.quiet {
        return Ok(());
    }
    let number = u64::try_from(pages.len()).unwrap_or(u64::MAX);
    let (pages, directory) = (count(number, "page"), directory.display());
    answer_lines([format_args!("{pages} in {directory}")])
}
