//! What gpg says on its status descriptor: the truth about a message, once gpg has ended.

use std::fmt;

/// What begins each line.
const PREFIX: &str = "[GNUPG:] ";

/// The codes of libgpg-error that say whose fault it is that a secret key could not be used.
const BAD_PASSPHRASE: u32 = 11;
const NO_PINENTRY: u32 = 86;
const CANCELED: [u32; 2] = [99, 198];
/// From here on the codes are those of the system, such as that a device is no terminal.
const OF_SYSTEM: u32 = 0x8000;

/// Why gpg's output can't be believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GpgFailure {
    /// It has none of the secret keys that open the message.
    NoSecretKey {
        /// The ids of the keys that do.
        keys: Vec<String>,
    },
    /// The key has a passphrase, and gpg could not ask for it.
    CannotAsk,
    /// The passphrase was wrong.
    WrongPassphrase,
    /// gpg's agent asked for the passphrase and did not get it.
    NotGiven,
    /// The message is encrypted with a passphrase alone.
    Symmetric,
    /// It is no message in the form of gpg's.
    NotGpg,
    /// It is a message that is not encrypted.
    NotEncrypted,
    /// Its end is missing, or bytes were changed.
    Damaged,
    /// Nothing in it says whether bytes were changed.
    Unprotected,
    /// There is more than one message.
    Several,
    /// Something has ended gpg before it was done.
    Killed,
    /// gpg failed, and its status says no more.
    Unknown,
}

impl fmt::Display for GpgFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSecretKey { keys } => {
                return write!(f, "it has none of the secret keys: {}", keys.join(", "));
            }
            Self::CannotAsk => "the secret key needs a passphrase, and gpg could not ask for it",
            Self::WrongPassphrase => "the passphrase was wrong",
            Self::NotGiven => "the passphrase was not given",
            Self::Symmetric => {
                "it is encrypted with a passphrase and not to a key, so btrsend did not write it"
            }
            Self::NotGpg => "it is not an OpenPGP message",
            Self::NotEncrypted => "it is not encrypted, so btrsend did not write it",
            Self::Damaged => "its end is missing, or bytes were changed",
            Self::Unprotected => {
                "it has no integrity protection, so changed bytes would not be noticed"
            }
            Self::Several => "it has more than one message, so btrsend did not write it",
            Self::Killed => "a signal has ended gpg before it was done",
            Self::Unknown => "gpg failed",
        })
    }
}

impl GpgFailure {
    /// Whether something here has to be set right, and the message may be sound.
    pub(super) fn is_of_this_machine(&self) -> bool {
        matches!(
            self,
            Self::NoSecretKey { .. }
                | Self::CannotAsk
                | Self::WrongPassphrase
                | Self::NotGiven
                | Self::Killed
        )
    }

    pub(super) fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::NoSecretKey { .. } => {
                "import the secret key with `gpg --import`, or name the directory of the keyring that has it with \
                 --gpg-homedir, and run again: what was fetched is kept"
            }
            Self::CannotAsk => {
                "run it on a terminal after `export GPG_TTY=$(tty)`; or let gpg-agent know the passphrase before, with \
                 `gpg-preset-passphrase`, or with any `gpg --decrypt` of the same user. What was fetched is kept"
            }
            Self::Killed => {
                "find out what has ended it, such as a lack of memory, and run again: what was fetched is kept"
            }
            Self::WrongPassphrase | Self::NotGiven => {
                "run again and give the passphrase: what was fetched is kept"
            }
            Self::Unprotected => {
                "decrypt the file in the spool by hand with `gpg --ignore-mdc-error`, if you accept that; \
                 docs/from/btrsend.md says how to go on"
            }
            Self::NotGpg | Self::Damaged | Self::Symmetric | Self::NotEncrypted | Self::Several => {
                "restore another date: btrsend also recorded archives whose gpg had failed. The file stays in the spool"
            }
            Self::Unknown => return None,
        })
    }
}

/// Judges what gpg has written to its status descriptor, and whether it ended with 0.
pub(super) fn judge(status: &str, is_success: bool) -> Result<(), GpgFailure> {
    let lines: Vec<(&str, &str)> = status
        .lines()
        .filter_map(|line| line.strip_prefix(PREFIX))
        .map(|line| line.split_once(' ').unwrap_or((line, "")))
        .collect();
    let count = |word: &str| lines.iter().filter(|(found, _)| *found == word).count();
    let has = |word: &str| count(word) > 0;
    let whole = has("DECRYPTION_OKAY") && has("GOODMDC") && has("END_DECRYPTION");
    let broken = has("BADMDC") || has("DECRYPTION_FAILED") || has("NODATA") || has("FAILURE");
    let several = count("BEGIN_DECRYPTION") > 1 || count("PLAINTEXT") > 1;
    if is_success && whole && !broken && !several {
        return Ok(());
    }
    Err(failure(&lines, is_success))
}

fn failure(lines: &[(&str, &str)], is_success: bool) -> GpgFailure {
    let all = |word: &str| {
        let found = lines.iter().filter(move |(found, _)| *found == word);
        found.map(|(_, rest)| *rest).collect::<Vec<&str>>()
    };
    let has = |word: &str| !all(word).is_empty();
    if all("BEGIN_DECRYPTION").len() > 1 || all("PLAINTEXT").len() > 1 {
        return GpgFailure::Several;
    }
    let is_encrypted = has("ENC_TO") || has("BEGIN_DECRYPTION");
    if has("NEED_PASSPHRASE_SYM") && !has("ENC_TO") {
        return GpgFailure::Symmetric;
    }
    if !is_encrypted {
        return if has("PLAINTEXT") {
            GpgFailure::NotEncrypted
        } else if has("NODATA") {
            GpgFailure::NotGpg
        } else {
            GpgFailure::Unknown
        };
    }
    // It says this once it has the session key.
    if !has("DECRYPTION_INFO") {
        if let Some(why) = all("ERROR").into_iter().find_map(of_secret_key) {
            return why;
        }
        let keys = all("NO_SECKEY");
        if !keys.is_empty() {
            return GpgFailure::NoSecretKey {
                keys: keys.into_iter().map(str::to_owned).collect(),
            };
        }
        return GpgFailure::Unknown;
    }
    let is_unprotected = all("DECRYPTION_INFO").iter().any(|info| {
        let mut fields = info.split(' ');
        let mdc = fields.next();
        mdc == Some("0") && fields.nth(1).is_none_or(|aead| aead == "0")
    });
    if is_unprotected {
        GpgFailure::Unprotected
    } else if is_success {
        GpgFailure::Unknown
    } else {
        GpgFailure::Damaged
    }
}

/// Returns why a secret key could not be used; `None` for another error.
fn of_secret_key(error: &str) -> Option<GpgFailure> {
    let code: u32 = error
        .strip_prefix("pkdecrypt_failed ")?
        .trim()
        .parse()
        .ok()?;
    // The upper half names the part of GnuPG that failed.
    let code = code & 0xffff;
    Some(if code == BAD_PASSPHRASE {
        GpgFailure::WrongPassphrase
    } else if CANCELED.contains(&code) {
        GpgFailure::NotGiven
    } else if code == NO_PINENTRY || code >= OF_SYSTEM {
        GpgFailure::CannotAsk
    } else {
        return None;
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "ENC_TO A868D8CF1B2E68AA 1 0
KEY_CONSIDERED E611 0
DECRYPTION_KEY 31B7 E611 u
BEGIN_DECRYPTION
DECRYPTION_INFO 2 9 0
PLAINTEXT 62 1796013201 
DECRYPTION_OKAY
GOODMDC
END_DECRYPTION";

    fn judged(words: &str, is_success: bool) -> Result<(), GpgFailure> {
        let lines: Vec<&str> = words.lines().collect();
        let status = format!("[GNUPG:] {}\n", lines.join("\n[GNUPG:] "));
        judge(&status, is_success)
    }

    #[test]
    fn a_message_is_whole_only_if_all_say_so() {
        assert_eq!(judged(GOOD, true), Ok(()));
        assert_eq!(judged(GOOD, false), Err(GpgFailure::Damaged));
        for missing in ["DECRYPTION_OKAY", "GOODMDC", "END_DECRYPTION"] {
            let less = GOOD.replace(missing, "PROGRESS");
            assert!(judged(&less, true).is_err(), "{missing}");
        }
        for more in [
            "BADMDC",
            "DECRYPTION_FAILED",
            "NODATA 3",
            "FAILURE decrypt 1",
        ] {
            assert!(judged(&format!("{GOOD}\n{more}"), true).is_err(), "{more}");
        }
        assert_eq!(
            judged(&format!("{GOOD}\n{GOOD}"), true),
            Err(GpgFailure::Several)
        );
        // What gpg's log may contain is no status.
        assert!(judge(GOOD, true).is_err());
    }

    #[test]
    fn several_recipients_may_lack_a_key() {
        let with = format!("ENC_TO B 1 0\nNO_SECKEY B\n{GOOD}");
        assert_eq!(judged(&with, true), Ok(()));
    }

    #[test]
    fn each_failure_is_told_from_the_others() {
        let cut = GOOD.split("DECRYPTION_OKAY").next().unwrap();
        let unopened = GOOD.split("BEGIN_DECRYPTION").next().unwrap();
        let failed = |error: &str| {
            format!(
                "{unopened}\nERROR {error}\nBEGIN_DECRYPTION\nDECRYPTION_FAILED\nEND_DECRYPTION"
            )
        };
        for (status, failure) in [
            (format!("{cut}\nBADMDC\nDECRYPTION_FAILED\nEND_DECRYPTION"), GpgFailure::Damaged),
            // gpg gives up on what it can't decompress without another word.
            (cut.to_owned(), GpgFailure::Damaged),
            (
                GOOD.replace("INFO 2 9 0", "INFO 0 2 0").replace("GOODMDC\n", ""),
                GpgFailure::Unprotected,
            ),
            (failed("pkdecrypt_failed 83918950"), GpgFailure::CannotAsk),
            (failed("pkdecrypt_failed 67108950"), GpgFailure::CannotAsk),
            (failed("pkdecrypt_failed 67108875"), GpgFailure::WrongPassphrase),
            (failed("pkdecrypt_failed 83886179"), GpgFailure::NotGiven),
            (
                "ENC_TO A868D8CF1B2E68AA 1 0\nNO_SECKEY A868D8CF1B2E68AA\nBEGIN_DECRYPTION\nDECRYPTION_FAILED\nEND_DECRYPTION".to_owned(),
                GpgFailure::NoSecretKey { keys: vec!["A868D8CF1B2E68AA".to_owned()] },
            ),
            ("NEED_PASSPHRASE_SYM 9 3 2\nBEGIN_DECRYPTION\nDECRYPTION_FAILED".to_owned(), GpgFailure::Symmetric),
            ("NODATA 2\nFAILURE decrypt 4294967295".to_owned(), GpgFailure::NotGpg),
            ("PLAINTEXT 62 1796013214 ".to_owned(), GpgFailure::NotEncrypted),
            (String::new(), GpgFailure::Unknown),
        ] {
            assert_eq!(judged(&status, false), Err(failure), "{status}");
        }
        // An unencrypted message ends with 0.
        assert_eq!(
            judged("PLAINTEXT 62 0 ", true),
            Err(GpgFailure::NotEncrypted)
        );
    }
}
