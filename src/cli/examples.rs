//! Examples of each command, for its `--help` and its man page. A test parses each.

use clap::Command;

/// A command line, and what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Example {
    /// What is typed.
    pub line: &'static str,
    /// What it does, in one line.
    pub does: &'static str,
}

const fn example(line: &'static str, does: &'static str) -> Example {
    Example { line, does }
}

/// The examples of each command, by its words after `coldchain`.
const EXAMPLES: &[(&str, &[Example])] = &[
    (
        "",
        &[
            example("coldchain plan", "What tonight does, and why"),
            example(
                "coldchain backup --quiet",
                "The nightly command, for cron or a timer",
            ),
            example(
                "coldchain restore home 2026-11-07 --to /mnt/new --identity kit.txt",
                "Bring a date back below /mnt/new/home",
            ),
            example(
                "coldchain verify home --deep --sample 5 --identity kit.txt",
                "Fetch and open one segment in twenty",
            ),
        ],
    ),
    (
        "init",
        &[
            example(
                "coldchain init",
                "On a new machine: ask what is archived and where to, and make all that takes",
            ),
            example(
                "coldchain init --source /home --store /mnt/shelf/coldchain --kit /media/usb/kit.txt",
                "The same without a question, with the recovery kit on a stick",
            ),
            example(
                "coldchain init --from-btrbk /etc/btrbk/btrbk.conf",
                "Write a config with the subvolumes, targets and retention of btrbk",
            ),
            example(
                "coldchain init --from-snapper root home",
                "The same from two configs of snapper",
            ),
        ],
    ),
    (
        "backup",
        &[
            example(
                "coldchain backup --quiet",
                "The nightly command: all sources, for cron or a timer",
            ),
            example(
                "coldchain backup home --dry-run",
                "What it would do with one source",
            ),
            example(
                "coldchain backup home --full --limit 2MiB",
                "A full archive now, at 2 MiB a second at most",
            ),
            example(
                "coldchain backup --wait-lock 3600",
                "Wait up to an hour for another run",
            ),
        ],
    ),
    (
        "snapshot",
        &[
            example(
                "coldchain snapshot home",
                "A snapshot before something that may go wrong",
            ),
            example(
                "coldchain snapshot --quiet",
                "One of each source, every hour, for cron or a timer",
            ),
        ],
    ),
    (
        "snapshots",
        &[
            example(
                "coldchain snapshots home",
                "The snapshots of a source, and why each is kept",
            ),
            example("coldchain snapshots --plan", "What has expired"),
            example(
                "coldchain snapshots home --prune --sync",
                "Delete that, and wait until its space is free",
            ),
        ],
    ),
    (
        "pull",
        &[
            example(
                "coldchain pull web --dry-run",
                "What rsync would change and delete",
            ),
            example(
                "coldchain pull web",
                "Bring the copy of it on this machine up to date",
            ),
            example(
                "coldchain pull web --accept-deletions",
                "The same after a large cleanup there, which `max_delete` stops",
            ),
        ],
    ),
    (
        "mirror",
        &[
            example("coldchain mirror --dry-run", "What the mirrors lack"),
            example(
                "coldchain mirror home --limit 10MiB",
                "Send it, at 10 MiB a second at most",
            ),
        ],
    ),
    (
        "copy",
        &[
            example(
                "coldchain copy home --to offsite --plan",
                "What the store `offsite` lacks, and what a copy costs",
            ),
            example(
                "coldchain copy home --to offsite",
                "Copy it, sealed as it is",
            ),
            example(
                "coldchain copy home --to offsite --tier bulk --yes",
                "From a cold home, thawed as cheaply as can be",
            ),
        ],
    ),
    (
        "move",
        &[
            example(
                "coldchain move home --to offsite",
                "From now on archives go to the store `offsite`, which has a copy",
            ),
            example(
                "coldchain move home --to offsite --kit kit.txt",
                "The same, and the recovery kit names the new home",
            ),
            example(
                "coldchain move home --to offsite --abandon-home",
                "The old home is lost",
            ),
        ],
    ),
    (
        "mirror-server",
        &[
            example(
                "coldchain mirror-server /srv/mirror --allow list,receive",
                "As the command of an ssh key in `authorized_keys`: it may add copies, and read none",
            ),
            example(
                "coldchain mirror-server /srv/mirror --keep \"14d 8w 12m\" --link current",
                "The same, and old copies go",
            ),
        ],
    ),
    (
        "plan",
        &[
            example(
                "coldchain plan",
                "What tonight does with each source, and why",
            ),
            example(
                "coldchain plan home today --until 2027-01-31",
                "The nights until then that do something",
            ),
            example("coldchain plan --json", "The same for a program"),
        ],
    ),
    (
        "list",
        &[
            example("coldchain list", "Chains and archives of all sources"),
            example("coldchain list --graph", "The same, drawn over the time"),
            example(
                "coldchain list home --all",
                "With the retired ones of one source",
            ),
            example("coldchain list --json", "The same for a program"),
        ],
    ),
    (
        "cost",
        &[
            example(
                "coldchain cost",
                "Now, in the next 12 months, and for a restore",
            ),
            example(
                "coldchain cost home --months 36",
                "One source, three years ahead",
            ),
            example(
                "coldchain cost --storage-class DEEP_ARCHIVE",
                "What another storage class would cost",
            ),
        ],
    ),
    (
        "show",
        &[
            example("coldchain show home", "The newest archive of a source"),
            example("coldchain show home 2026-11-07", "The archive of a date"),
            example(
                "coldchain show home --place offsite --json",
                "The copy of it in the store `offsite`, for a program",
            ),
        ],
    ),
    (
        "restore",
        &[
            example(
                "coldchain restore home --plan",
                "What the newest date takes: bytes, hours and USD for each tier",
            ),
            example(
                "coldchain restore home 2026-11-07 --to /mnt/new --identity kit.txt",
                "Bring a date back as a subvolume below /mnt/new/home, from the nearest copy",
            ),
            example(
                "coldchain restore home --to /mnt/new --identity kit.txt --tier bulk --max-cost 20",
                "From cold storage, and for 20 USD at most",
            ),
            example(
                "coldchain restore home --as-files --to /mnt/usb --identity kit.txt",
                "As plain files, on any filesystem",
            ),
        ],
    ),
    (
        "import",
        &[
            example(
                "coldchain import btrsend --db /root/.btrsend.db --vault old",
                "List what btrsend stored in the vault of the store `old`",
            ),
            example(
                "coldchain restore --imported btrsend --plan",
                "What it takes to bring its newest date back",
            ),
        ],
    ),
    (
        "import btrsend",
        &[
            example(
                "coldchain import btrsend --db /root/.btrsend.db --vault old",
                "List what btrsend stored in the vault of the store `old`",
            ),
            example(
                "coldchain import btrsend --db /home/ann/.btrsend.db --vault old --name ann",
                "The same of another user",
            ),
        ],
    ),
    (
        "ls",
        &[
            example("coldchain ls home:etc", "A directory in the newest archive"),
            example(
                "coldchain ls home:etc --date 2026-11-07 -l",
                "As it was on a date, with modes, owners and sizes",
            ),
            example(
                "coldchain ls home: --recursive -0",
                "Every path, for a program",
            ),
        ],
    ),
    (
        "find",
        &[
            example(
                "coldchain find home --name \"*.tex\"",
                "By name, in the newest archive",
            ),
            example(
                "coldchain find home --deleted --name \"letter*\"",
                "What is gone: the last date of each, and the nearest copy",
            ),
            example(
                "coldchain find home:mail --all-dates --size +100MiB",
                "Large files of any date below a directory",
            ),
        ],
    ),
    (
        "diff",
        &[
            example(
                "coldchain diff home 2026-11-01 2026-11-07",
                "What changed between two archives",
            ),
            example(
                "coldchain diff home 2026-11-01 2026-11-07 --stat --limit 20",
                "What made the second one big",
            ),
        ],
    ),
    (
        "du",
        &[
            example(
                "coldchain du home",
                "What each directory weighs in the newest archive",
            ),
            example(
                "coldchain du home:var --depth 2 --date 2026-11-07",
                "Two levels below a directory, on a date",
            ),
            example("coldchain du home:mail --by-date", "How one directory grew"),
        ],
    ),
    (
        "index",
        &[
            example(
                "coldchain index --plan",
                "Which archives have no list of their files, and what making it costs",
            ),
            example(
                "coldchain index home --identity kit.txt",
                "Make it where nothing is cold",
            ),
            example(
                "coldchain index --rebuild --identity kit.txt",
                "Make the index on this machine anew",
            ),
        ],
    ),
    (
        "history",
        &[
            example(
                "coldchain history /home/ann/letter.txt",
                "Every version of a file, wherever it is",
            ),
            example(
                "coldchain history home:ann/letter.txt --diff",
                "And what changed between them",
            ),
            example(
                "coldchain history /home/ann --since 2026-11-01 --copy",
                "The commands that bring each version back",
            ),
        ],
    ),
    (
        "yesterday",
        &[
            example(
                "coldchain yesterday /home/ann/letter.txt",
                "The path of yesterday's version in a snapshot",
            ),
            example(
                "coldchain yesterday /home/ann/letter.txt --months 1",
                "Of a month ago",
            ),
        ],
    ),
    (
        "get",
        &[
            example(
                "coldchain get home:ann/letter.txt",
                "Copy the newest version into the working directory",
            ),
            example(
                "coldchain get /home/ann/letter.txt --yesterday --to /home/ann/old.txt",
                "Yesterday's, under another name",
            ),
            example(
                "coldchain get home:ann --date 2026-11-07 --identity kit.txt",
                "A directory of a date, from an archive if nothing nearer has it",
            ),
        ],
    ),
    (
        "extract",
        &[
            example(
                "coldchain extract home ann/letter.txt --plan",
                "What it takes to bring a file back",
            ),
            example(
                "coldchain extract home ann/letter.txt --to /mnt/usb --identity kit.txt",
                "Bring it back, onto any filesystem",
            ),
            example(
                "coldchain extract home \"ann/*.tex\" --date 2026-11-07 --to - --identity kit.txt",
                "The one file that fits, to stdout",
            ),
        ],
    ),
    (
        "mount",
        &[
            example(
                "coldchain mount /mnt/archives --identity kit.txt",
                "All sources and dates, until Ctrl-C or `umount /mnt/archives`",
            ),
            example(
                "coldchain mount /mnt/archives home",
                "The names of one source; no data without an identity",
            ),
        ],
    ),
    (
        "adopt",
        &[
            example(
                "coldchain adopt home /mnt/new",
                "After `restore home --to /mnt/new`: the next archive is incremental",
            ),
            example(
                "coldchain adopt /mnt/new",
                "The same where there is one source",
            ),
        ],
    ),
    (
        "thaw",
        &[
            example(
                "coldchain thaw home --tier bulk",
                "Ask for what a restore of the newest date needs",
            ),
            example(
                "coldchain thaw home --status",
                "How far that is; ask for nothing",
            ),
            example(
                "coldchain thaw home 2026-11-07 --max-cost 20 --yes",
                "A date, for 20 USD at most, without a question",
            ),
        ],
    ),
    (
        "verify",
        &[
            example(
                "coldchain verify",
                "The ledger, and whether every object is there with its size",
            ),
            example(
                "coldchain verify home --deep --sample 5 --identity kit.txt",
                "Also fetch and open one segment in twenty",
            ),
            example(
                "coldchain verify home --drill --identity kit.txt",
                "Also restore the newest chain, and compare every file",
            ),
            example(
                "coldchain verify home --repair-from offsite",
                "Put damaged objects back from a copy",
            ),
        ],
    ),
    (
        "prune",
        &[
            example(
                "coldchain prune --dry-run",
                "What would be retired and deleted, and why",
            ),
            example("coldchain prune home", "Do it"),
            example(
                "coldchain prune home --revive 2026-08-01",
                "Bring a retired chain back while its objects still exist",
            ),
        ],
    ),
    (
        "catalog",
        &[
            example(
                "coldchain catalog check",
                "Compare the catalog with the store",
            ),
            example(
                "coldchain catalog rebuild --identity kit.txt",
                "Make it anew from the stores of the config",
            ),
        ],
    ),
    (
        "catalog rebuild",
        &[
            example(
                "coldchain catalog rebuild --identity kit.txt",
                "Make the catalog anew from the stores of the config",
            ),
            example(
                "coldchain catalog rebuild --store \"s3://my-archives/laptop\" --identity kit.txt",
                "On a machine without a config",
            ),
        ],
    ),
    (
        "report",
        &[
            example("coldchain report", "How the sources stand, in short"),
            example(
                "coldchain report --html /var/www/backups.html",
                "As a page: timelines, sizes, costs, checks and alarms",
            ),
        ],
    ),
    (
        "config",
        &[
            example("coldchain config check", "Is there a fault in it?"),
            example("coldchain config show", "What holds, and why"),
        ],
    ),
    (
        "config check",
        &[
            example("coldchain config check", "Is there a fault in it?"),
            example(
                "coldchain config check --config new.toml",
                "The same of a file that is not in use yet",
            ),
        ],
    ),
    (
        "config show",
        &[
            example(
                "coldchain config show",
                "Every value that holds, with its line",
            ),
            example("coldchain config show --json", "The same for a program"),
        ],
    ),
    (
        "config schema",
        &[
            example("coldchain config schema", "Print it"),
            example(
                "coldchain config schema --json",
                "The same: it is JSON in any case",
            ),
        ],
    ),
    (
        "catalog check",
        &[
            example(
                "coldchain catalog check",
                "Compare the catalog with the ledgers and objects of its stores",
            ),
            example(
                "coldchain catalog check home --identity kit.txt",
                "And with what the recovery kit knows",
            ),
        ],
    ),
    (
        "decide",
        &[
            example(
                "coldchain decide home 2026-11-21",
                "Print `c` or `i DATE` if the date calls for an archive, then read its stream",
            ),
            example("coldchain decide home today --full", "Ask for a full"),
        ],
    ),
    (
        "key",
        &[
            example(
                "coldchain key show",
                "The keys, and who may sign which ledger",
            ),
            example(
                "coldchain key check --identity kit.txt",
                "Prove that the kit opens the archives",
            ),
            example(
                "coldchain key kit --kit kit.txt",
                "Bring the recovery kit up to date",
            ),
        ],
    ),
    (
        "key show",
        &[
            example(
                "coldchain key show",
                "The keys, and who may sign which ledger",
            ),
            example(
                "coldchain key show --entries",
                "With every entry of the ledgers",
            ),
        ],
    ),
    (
        "key new",
        &[
            example(
                "coldchain key new",
                "A signing key for a machine that is to prune for another one",
            ),
            example(
                "coldchain key new --state-dir /srv/coldchain",
                "The same, in another state directory",
            ),
        ],
    ),
    (
        "key kit",
        &[
            example(
                "coldchain key kit --kit kit.txt",
                "Bring the recovery kit up to date",
            ),
            example(
                "coldchain key kit",
                "A supplement to print and to keep with it",
            ),
        ],
    ),
    (
        "key check",
        &[
            example(
                "coldchain key check --identity kit.txt",
                "Prove that the kit opens every archive",
            ),
            example(
                "coldchain key check home --identity /root/.ssh/id_ed25519",
                "That an ssh key opens those of one source",
            ),
        ],
    ),
    (
        "key add-recipient",
        &[
            example(
                "coldchain key add-recipient age1ql3z7hjy54pw… --identity kit.txt",
                "One more identity opens all that is archived",
            ),
            example(
                "coldchain key add-recipient \"ssh-ed25519 AAAAC3Nza…\" --source home --identity kit.txt",
                "An ssh key, for one source",
            ),
        ],
    ),
    (
        "key rotate",
        &[
            example(
                "coldchain key rotate --kit kit.txt --new-signing-key",
                "Another signing key for this machine",
            ),
            example(
                "coldchain key rotate --kit kit.txt --add RWQf6LRC… --role pruner",
                "Let another machine prune",
            ),
            example(
                "coldchain key rotate --kit kit.txt --remove RWQf6LRC… --undelete",
                "A key was stolen: withdraw it, and take back what it deleted",
            ),
        ],
    ),
    (
        "forget",
        &[
            example(
                "coldchain forget mail",
                "A source that the config does not name any more",
            ),
            example(
                "coldchain forget home --mirror /mnt/old",
                "A mirror that is gone",
            ),
            example(
                "coldchain forget home --copy offsite",
                "A copy that is gone",
            ),
        ],
    ),
    (
        "status",
        &[
            example("coldchain status", "How the sources stand"),
            example(
                "coldchain status --check --quiet",
                "For monitoring: exit code 9 if something is overdue",
            ),
            example(
                "coldchain status --check=nagios --max-age 10d",
                "As a plugin of Nagios, Icinga or Checkmk",
            ),
            example(
                "coldchain status --test-messages",
                "Try what `[notify]` in the config names",
            ),
        ],
    ),
    (
        "doctor",
        &[
            example("coldchain doctor", "All checks, those of the stores too"),
            example("coldchain doctor --offline", "Only what is on this machine"),
            example(
                "coldchain doctor --fix",
                "Repair what can be repaired without a loss, and ask before each",
            ),
        ],
    ),
    (
        "completions",
        &[
            example(
                "coldchain completions bash > ~/.local/share/bash-completion/completions/coldchain",
                "For one user of bash",
            ),
            example(
                "coldchain completions zsh > /usr/local/share/zsh/site-functions/_coldchain",
                "For all users of zsh",
            ),
            example(
                "coldchain completions fish > ~/.config/fish/completions/coldchain.fish",
                "For one user of fish",
            ),
        ],
    ),
    (
        "explain",
        &[
            example("coldchain explain", "What can be explained"),
            example(
                "coldchain explain 5",
                "What an exit code means, and what to do",
            ),
            example(
                "coldchain explain thaw",
                "What a thaw is, the page on it, and the commands to run",
            ),
        ],
    ),
    (
        "man",
        &[
            example("coldchain man | man -l -", "Read the main page"),
            example(
                "coldchain man ./man",
                "Write the pages of all commands, and that of the config, as a package does",
            ),
        ],
    ),
];

/// Returns the examples of a command: `key rotate`; of the program for an empty text.
pub fn examples_of(command: &str) -> &'static [Example] {
    let found = EXAMPLES.iter().find(|(name, _)| *name == command);
    found.map_or(&[], |(_, examples)| examples)
}

/// Adds its examples to the help of a command and to those of its subcommands.
pub(super) fn add_to(command: Command, name: &str) -> Command {
    let block = block(examples_of(name));
    let help = match command.get_after_help() {
        Some(notes) if !block.is_empty() => format!("{notes}\n\n{block}"),
        Some(notes) => notes.to_string(),
        None => block,
    };
    let names: Vec<String> = command
        .get_subcommands()
        .map(|further| further.get_name().to_owned())
        .collect();
    names
        .iter()
        .fold(command.after_help(help), |command, further| {
            let whole = format!("{name} {further}");
            command.mut_subcommand(further, |further| add_to(further, whole.trim_start()))
        })
}

fn block(examples: &[Example]) -> String {
    let lines = examples
        .iter()
        .map(|example| format!("\n  {}\n          {}", example.line, example.does));
    let lines: String = lines.collect();
    if lines.is_empty() {
        lines
    } else {
        format!("Examples:{lines}")
    }
}
