//! Whether everything is in order.

use clap::Args;

/// `coldchain doctor`
#[derive(Debug, Args)]
pub struct Doctor {
    /// Ask no store, and no mirror on another machine; look only at what is here
    #[arg(long)]
    pub offline: bool,
    /// First repair what can be repaired without a loss, and ask before each
    #[arg(long)]
    pub fix: bool,
    /// Don't ask; needed where there is no terminal to ask on
    #[arg(long, short, requires = "fix")]
    pub yes: bool,
}
