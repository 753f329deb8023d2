//! Lists objects: every page, or an error.

use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::types::EncodingType;
use aws_sdk_s3::types::Object;

use super::judge::judge;
use super::{S3Store, to_chrono};
use crate::model::StorageClass;
use crate::store::aws::Judged;
use crate::store::aws::{PAGE, Pages};
use crate::store::error::{ErrorKind, Operation, StoreError};
use crate::store::key::check_key;
use crate::store::listing::Listing;
use crate::store::{Listed, Stat};

impl S3Store<'_> {
    pub(super) async fn list_all(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        if let Some((directory, _)) = prefix.rsplit_once('/') {
            check_key(Operation::List, &self.url, directory)?;
        }
        let mut found = Listing::within(self.settings.listing_bytes);
        let mut pages = Pages::within(self.settings.patience.longest(0));
        let mut token: Option<String> = None;
        loop {
            let page = self
                .persevere(Operation::List, prefix, async |client, _| {
                    let request = client
                        .list_objects_v2()
                        .bucket(&self.settings.bucket)
                        .prefix(self.full(prefix))
                        // A foreign key may have characters that XML can't have.
                        .encoding_type(EncodingType::Url)
                        .max_keys(PAGE)
                        .set_continuation_token(token.clone());
                    let page = request
                        .send()
                        .await
                        .map_err(|error| of_listing(judge(&error)))?;
                    let cut = page.is_truncated() == Some(true)
                        && (page.next_continuation_token().is_none()
                            || page.next_continuation_token() == token.as_deref());
                    if cut {
                        let what = "it cut the listing short and gave no way to go on";
                        return Err(Judged::damaged(what));
                    }
                    require_whole(&page)?;
                    Ok(page)
                })
                .await?;
            let listed = page.contents().iter().filter_map(|item| self.listed(item));
            // A service may list more than was requested.
            for object in listed.filter(|listed| listed.key.starts_with(prefix)) {
                found.add(object).map_err(|too_many| {
                    self.error(ErrorKind::TooMany, Operation::List, prefix)
                        .because(too_many)
                })?;
            }
            if page.is_truncated() != Some(true) {
                return Ok(found.sorted());
            }
            token = page.next_continuation_token().map(str::to_owned);
            pages
                .turn(&token, page.contents().len())
                .map_err(|judged| self.final_error(judged, Operation::List, prefix))?;
        }
    }

    /// Returns a listed object; `None` if its name is no valid key.
    fn listed(&self, item: &Object) -> Option<Listed> {
        let full = percent_decoded(item.key()?)?;
        let key = if self.settings.prefix.is_empty() {
            full.as_str()
        } else {
            full.strip_prefix(&self.settings.prefix)?
                .strip_prefix('/')?
        };
        check_key(Operation::List, &self.url, key).ok()?;
        let class: Option<StorageClass> = item
            .storage_class()
            .map_or("STANDARD", |class| class.as_str())
            .parse()
            .ok();
        Some(Listed {
            key: key.to_owned(),
            stat: Stat {
                bytes: u64::try_from(item.size()?).ok()?,
                sha256: None,
                modified: item.last_modified().map(to_chrono).unwrap_or_default(),
                class,
            },
        })
    }
}

/// Turns "not found" into a missing bucket: a listing of an existing bucket always works.
fn of_listing(judged: Judged) -> Judged {
    if judged.kind == ErrorKind::NotFound {
        let kind = ErrorKind::NoBucket;
        return Judged { kind, ..judged };
    }
    judged
}

/// Refuses a page whose content differs from its counts, because it lost a part on its way.
fn require_whole(page: &ListObjectsV2Output) -> Result<(), Judged> {
    let lists = page.contents().len() + page.common_prefixes().len();
    // Some services do not count.
    if let Some(counted) = page.key_count()
        && i64::try_from(lists).is_ok_and(|lists| i64::from(counted) > lists)
    {
        let what = format!("its listing counts {counted} objects and has {lists}");
        return Err(Judged::damaged(what));
    }
    let is_told = |item: &Object| item.key().is_some() && item.size().is_some_and(|size| size >= 0);
    if !page.contents().iter().all(is_told) {
        let what = "its listing has an object without a key or a length";
        return Err(Judged::damaged(what));
    }
    if page.is_truncated().is_none() {
        return Err(Judged::damaged("its listing does not say whether it ends"));
    }
    Ok(())
}

/// Decodes `%41` and `+`. Returns `None` if the result is no UTF-8.
pub(super) fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                let digits = std::str::from_utf8(&digits).ok()?;
                u8::from_str_radix(digits, 16).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_decoded() {
        for (text, expected) in [
            ("home/a.b_c-d", Some("home/a.b_c-d")),
            ("a%2Fb%20c+d", Some("a/b c d")),
            ("%C3%BC", Some("ü")),
            ("%FF", None),
            ("%4", None),
            ("%zz", None),
        ] {
            assert_eq!(percent_decoded(text).as_deref(), expected, "{text}");
        }
    }
}
