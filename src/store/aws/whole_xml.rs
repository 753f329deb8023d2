//! Checks whether an XML document is complete.
//!
//! A parser of events takes the end of its input for the end of the document. It would read a listing that is
//! cut after an object as a shorter one. So this module looks for the end of the outermost element.

/// How many bytes of a document's beginning are kept: more than a declaration and a first tag have.
const HEAD: usize = 1024;

/// How many bytes of its end are kept: more than any last tag has.
const TAIL: usize = 128;

/// The document ends before its outermost element does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its answer was cut short: the XML in it has no end")]
pub(in crate::store) struct CutShort;

/// The parts of a document that are kept while it passes.
#[derive(Debug, Default)]
pub(in crate::store) struct PassingXml {
    head: Vec<u8>,
    tail: Vec<u8>,
    len: usize,
}

impl PassingXml {
    /// Notes the next piece of the document.
    pub(in crate::store) fn note(&mut self, piece: &[u8]) {
        self.len += piece.len();
        let room = HEAD - self.head.len();
        self.head.extend(&piece[..room.min(piece.len())]);
        self.tail.extend(&piece[piece.len().saturating_sub(TAIL)..]);
        let before = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..before);
    }

    /// Fails if the document ends early. Anything that is no XML passes, and so do pages of web servers, and
    /// failures that are no error of S3.
    pub(in crate::store) fn require_whole(&self, is_success: bool) -> Result<(), CutShort> {
        let Some(tag) = first_tag(&self.head) else {
            return Ok(());
        };
        let name = name_of(tag);
        if name.eq_ignore_ascii_case(b"html") || (!is_success && name != b"Error") {
            return Ok(());
        }
        let tail = self.tail.trim_ascii_end();
        let is_empty = self.len == self.head.len()
            && tag
                .iter()
                .position(|byte| *byte == b'>')
                .is_some_and(|end| {
                    tag[..end].ends_with(b"/") && tag[end + 1..].trim_ascii().is_empty()
                });
        let ends = tail
            .strip_suffix(b">")
            .map(<[u8]>::trim_ascii_end)
            .and_then(|tail| tail.strip_suffix(name))
            .is_some_and(|tail| tail.ends_with(b"</"));
        if is_empty || ends {
            Ok(())
        } else {
            Err(CutShort)
        }
    }
}

/// Returns the name of a document's outermost element; `None` if the text is no XML.
pub(in crate::store) fn root_name(text: &[u8]) -> Option<&[u8]> {
    first_tag(text).map(name_of)
}

/// Returns the name at the beginning of a tag.
fn name_of(tag: &[u8]) -> &[u8] {
    let end = tag
        .iter()
        .position(|byte| byte.is_ascii_whitespace() || b"/>".contains(byte));
    &tag[..end.unwrap_or(tag.len())]
}

/// Returns what follows the `<` of the outermost element; `None` if the text is no XML. A document that ends
/// in its declaration has an element without a name, which has no end.
fn first_tag(text: &[u8]) -> Option<&[u8]> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut rest = text.trim_ascii_start().strip_prefix(b"<")?;
    while rest.starts_with(b"?") || rest.starts_with(b"!") {
        let end = rest.iter().position(|byte| *byte == b'<');
        rest = end.map_or(&[][..], |end| &rest[end + 1..]);
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_whole(text: &str, piece: usize, is_success: bool) -> bool {
        let mut passing = PassingXml::default();
        for piece in text.as_bytes().chunks(piece) {
            passing.note(piece);
        }
        passing.require_whole(is_success).is_ok()
    }

    const LISTING: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult \
        xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>a</Name><Contents><Key>k</Key>\
        <ETag><![CDATA[\"x\"]]></ETag></Contents><IsTruncated>false</IsTruncated></ListBucketResult>";

    #[test]
    fn a_document_that_is_cut_anywhere_is_not_whole() {
        for piece in [1, 7, 4096] {
            assert!(is_whole(LISTING, piece, true));
            for len in 1..LISTING.len() {
                assert!(!is_whole(&LISTING[..len], piece, true), "{len} {piece}");
            }
        }
        let long = LISTING.replace("<Name>a</Name>", &"<Name>a</Name>".repeat(1000));
        assert!(is_whole(&long, 100, true));
        assert!(!is_whole(&long[..long.len() - 20], 100, true));
    }

    #[test]
    fn what_honest_services_send_is_whole() {
        for text in [
            "",
            "{\"AccessKeyId\": \"AK\"}",
            "eu-central-1",
            "<ListBucketResult/>",
            "\n <VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\" />\n",
            "\u{feff}<?xml version=\"1.0\"?><a></a>\r\n",
            "<!-- made by hand --><a>b</a >",
            "<s3:ListBucketResult><s3:Name/></s3:ListBucketResult>",
        ] {
            assert!(is_whole(text, 5, true), "{text}");
        }
        let page = "<html><body>nginx</body></html>\r\n<!-- a padding -->\r\n";
        assert!(is_whole(page, 9, false));
        assert!(is_whole(page, 9, true), "a page of a web server");
        assert!(!is_whole("<Error><Code>NoSuchKey</Code>", 9, false));
        assert!(is_whole("<Error><Code>NoSuchKey</Code></Error>", 9, false));
    }
}
