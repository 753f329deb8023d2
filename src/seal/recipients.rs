//! The public keys that an archive key is sealed to.

use age::ssh::ParseRecipientKeyError;

use super::error::{RecipientFault, SealError};
use crate::model::digest::Sha256Hasher;
use crate::model::{LedgerId, Sha256};

/// The public keys that every archive key is sealed to: at least one, without duplicates, in the
/// order of their canonical texts.
pub struct Recipients(Vec<Recipient>);

struct Recipient {
    /// The key's text without its comment.
    text: String,
    key: RecipientKey,
}

enum RecipientKey {
    X25519(age::x25519::Recipient),
    Ssh(age::ssh::Recipient),
}

impl Recipients {
    /// Reads age X25519 (`age1…`) and ssh (`ssh-ed25519 …`, `ssh-rsa …`) public keys.
    ///
    /// White space around a text and the comment after an ssh key are ignored.
    pub fn parse(texts: &[String]) -> Result<Self, SealError> {
        let mut recipients = texts
            .iter()
            .map(|text| Recipient::parse(text.trim()).map_err(SealError::Recipient))
            .collect::<Result<Vec<_>, _>>()?;
        if recipients.is_empty() {
            return Err(SealError::NoRecipients);
        }
        recipients.sort_by(|a, b| a.text.cmp(&b.text));
        recipients.dedup_by(|a, b| a.text == b.text);
        Ok(Self(recipients))
    }

    /// How many different keys there are. Never 0.
    #[expect(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The canonical texts in their order: `age1…` in lowercase, `ssh-ed25519 BASE64` and
    /// `ssh-rsa BASE64` without comment.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|recipient| recipient.text.as_str())
    }

    /// Returns the fingerprint of the set of recipients for an entry. It shows that the set has changed, but
    /// the store never holds a recipient.
    ///
    /// SHA-256 over lines that each end in a newline (`\n`): first the ledger id as 32 lowercase
    /// hexadecimal digits, then the canonical text (see [`texts`](Self::texts)) of each different
    /// recipient, sorted by its bytes.
    pub fn fingerprint(&self, ledger: &LedgerId) -> Sha256 {
        let mut hasher = Sha256Hasher::default();
        hasher.update(format!("{ledger}\n").as_bytes());
        for text in self.texts() {
            hasher.update(text.as_bytes());
            hasher.update(b"\n");
        }
        hasher.finish()
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &dyn age::Recipient> {
        self.0.iter().map(|recipient| match &recipient.key {
            RecipientKey::X25519(key) => key as &dyn age::Recipient,
            RecipientKey::Ssh(key) => key,
        })
    }
}

/// Shows only how many keys there are: public keys are no secret, but they are private.
impl std::fmt::Debug for Recipients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Recipients({})", self.0.len())
    }
}

impl Recipient {
    fn parse(text: &str) -> Result<Self, RecipientFault> {
        // This check comes first, so that no later fault can carry a secret.
        if holds_secret(text) {
            return Err(RecipientFault::Secret);
        }
        if text.is_empty() {
            return Err(RecipientFault::Empty);
        }
        if text.contains(['\n', '\r']) {
            return Err(RecipientFault::Lines(text.to_owned()));
        }
        if let Ok(key) = text.parse::<age::x25519::Recipient>() {
            return Ok(Self {
                text: key.to_string(),
                key: RecipientKey::X25519(key),
            });
        }
        if is_ssh(text) {
            let key: age::ssh::Recipient = text.parse().map_err(|error| ssh_fault(text, &error))?;
            return Ok(Self {
                text: key.to_string(),
                key: RecipientKey::Ssh(key),
            });
        }
        Err(fault(text))
    }
}

fn holds_secret(text: &str) -> bool {
    let text = text.to_ascii_uppercase();
    ["AGE-SECRET-KEY", "AGE-PLUGIN-", "PRIVATE KEY"]
        .iter()
        .any(|mark| text.contains(mark))
}

fn is_ssh(text: &str) -> bool {
    ["ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-"]
        .iter()
        .any(|kind| text.starts_with(kind))
}

fn ssh_fault(text: &str, error: &ParseRecipientKeyError) -> RecipientFault {
    let text = text.to_owned();
    match error {
        ParseRecipientKeyError::RsaModulusTooSmall => RecipientFault::RsaTooSmall(text),
        ParseRecipientKeyError::RsaModulusTooLarge => RecipientFault::RsaTooLarge(text),
        ParseRecipientKeyError::Unsupported(_) | ParseRecipientKeyError::Ignore => {
            RecipientFault::SshKind(text)
        }
        _ if text.starts_with("ssh-ed25519") || text.starts_with("ssh-rsa") => {
            RecipientFault::Ssh(text)
        }
        _ => RecipientFault::SshKind(text),
    }
}

/// Returns what a text looks like, if it is neither an age nor an ssh recipient.
fn fault(text: &str) -> RecipientFault {
    let owned = text.to_owned();
    let lower = text.to_ascii_lowercase();
    if let Some(rest) = lower.strip_prefix("age1") {
        // A plugin's name and `pq` or `tag` end in a `1` of their own, which bech32 data can't hold.
        return if rest.contains('1') {
            RecipientFault::AgeKind(owned)
        } else {
            RecipientFault::Age(owned)
        };
    }
    // Neither an age key nor the start of an ssh key holds a slash.
    let is_path = text.starts_with(['/', '~', '.'])
        || [".pub", ".txt", ".age"]
            .iter()
            .any(|end| lower.ends_with(end));
    if is_path {
        return RecipientFault::Path(owned);
    }
    RecipientFault::Unknown(owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::generate_identity;
    use crate::seal::test_data::{SSH_ECDSA_PUB, SSH_ED25519_PUB, SSH_RSA_PUB};

    const FIRST: &str = "age1cv5sye94td2mmf7vxah4u9w0aqhxl468nqs4uwaak9xp3wszdqksgz3psy";

    fn parse(texts: &[&str]) -> Result<Recipients, SealError> {
        let texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
        Recipients::parse(&texts)
    }

    fn message(text: &str) -> String {
        parse(&[text]).unwrap_err().to_string()
    }

    #[test]
    fn the_fingerprint_depends_neither_on_order_nor_on_comments_nor_on_duplicates() {
        let ledger = LedgerId([7; 16]);
        let bare = SSH_ED25519_PUB.trim().rsplit_once(' ').unwrap().0;
        let one = parse(&[FIRST, SSH_ED25519_PUB, SSH_RSA_PUB]).unwrap();
        let other = parse(&[SSH_RSA_PUB, &FIRST.to_uppercase(), bare, FIRST]).unwrap();
        assert_eq!(one.len(), 3);
        assert_eq!(other.len(), 3);
        assert_eq!(one.fingerprint(&ledger), other.fingerprint(&ledger));
        assert_ne!(
            one.fingerprint(&ledger),
            one.fingerprint(&LedgerId([8; 16]))
        );
        assert_ne!(
            one.fingerprint(&ledger),
            parse(&[FIRST]).unwrap().fingerprint(&ledger)
        );
    }

    #[test]
    fn the_fingerprint_is_the_documented_one() {
        let bare = SSH_ED25519_PUB.trim().rsplit_once(' ').unwrap().0;
        let text = format!("07070707070707070707070707070707\n{FIRST}\n{bare}\n");
        let recipients = parse(&[SSH_ED25519_PUB, FIRST]).unwrap();
        assert_eq!(
            recipients.fingerprint(&LedgerId([7; 16])),
            Sha256::of(text.as_bytes())
        );
    }

    #[test]
    fn nobody_to_seal_to_is_an_error() {
        assert!(matches!(parse(&[]), Err(SealError::NoRecipients)));
    }

    #[test]
    fn a_secret_given_as_a_recipient_is_not_echoed() {
        let (secret, _) = generate_identity();
        for text in [
            secret.clone(),
            secret.to_lowercase(),
            format!("  {secret}x"),
            format!("{FIRST} {secret}"),
            "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjE".to_owned(),
            "AGE-PLUGIN-YUBIKEY-1QGQQQQQ".to_owned(),
        ] {
            let error = parse(&[&text]).unwrap_err();
            let told = format!("{error} {error:?}").to_uppercase();
            assert!(told.contains("LOOKS LIKE A SECRET KEY"), "{told}");
            for piece in [&secret[20..40], "B3BLBN", "QGQQQQQ"] {
                assert!(!told.contains(piece), "{told}");
            }
        }
    }

    #[test]
    fn an_error_names_the_text_and_says_what_it_looks_like() {
        let mistyped = FIRST.replace("cv5s", "cv5t");
        for (text, what) in [
            (mistyped.as_str(), "typing error"),
            ("age1pq1qqqqqqqq", "post-quantum"),
            ("age1yubikey1qqqqqqqq", "plugin"),
            ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAqDoj", "cut short"),
            (SSH_ECDSA_PUB.trim(), "of another kind"),
            ("ssh-dss AAAAB3NzaC1kc3MAAACB", "of another kind"),
            ("/etc/coldchain/key.txt", "looks like a path"),
            ("id_ed25519.pub", "looks like a path"),
            ("alice", "is not a recipient"),
        ] {
            let message = message(text);
            assert!(message.contains(what), "{message}");
            assert!(message.contains(&text[..10.min(text.len())]), "{message}");
        }
        assert!(message("  ").contains("empty"));
        assert!(message(&format!("{FIRST}\n{FIRST}")).contains("more than one line"));
    }
}
