//! Says what kind of failure an error is for the user, and what to do about it.

use super::error::SealError;

impl SealError {
    /// Whether a recipient or an identity file that was typed or configured can't be used.
    pub fn is_wrong_input(&self) -> bool {
        matches!(
            self,
            Self::NoRecipients
                | Self::Recipient(_)
                | Self::IdentityRead { .. }
                | Self::IdentityMissing { .. }
                | Self::IdentityLine { .. }
                | Self::IdentityUnsupported { .. }
                | Self::PassphraseUnavailable { .. }
                | Self::Option { .. }
        )
    }

    /// Whether an identity file could not be read at all.
    pub fn is_missing_file(&self) -> bool {
        matches!(self, Self::IdentityRead { .. })
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Recipient(_) | Self::NoRecipients => {
                "correct `recipients` in [encryption]; `age-keygen -y FILE` prints an identity's recipient"
            }
            Self::IdentityRead { .. }
            | Self::IdentityMissing { .. }
            | Self::IdentityLine { .. }
            | Self::IdentityUnsupported { .. } => {
                "give the recovery kit, an age identity file, or an ssh private key"
            }
            Self::SelfCheck { .. } => {
                "test the memory of this machine before you trust it: it computed something wrong; nothing was committed"
            }
            _ => return None,
        };
        Some(text.to_owned())
    }
}
