# fish completion for coldchain; fish 3.4 or later.
#
# For one user:  coldchain completions fish > ~/.config/fish/completions/coldchain.fish
# For a shell:   coldchain completions fish | source

function __coldchain_complete
    set -l words (commandline --cut-at-cursor --current-process --tokenize)
    set -l last (commandline --cut-at-cursor --current-token)
    set --erase words[1]
    set -l found (command coldchain complete fish -- $words "$last" 2>/dev/null)
    set -l directive $found[1]
    set --erase found[1]
    string join \n -- $found
    # An option and its value may be one word.
    set -l option (string match --regex -- '^--[^=]*=' "$last")
    set -l value (string replace --regex -- '^--[^=]*=' '' "$last")
    switch "$directive"
        case files
            string replace --regex -- '^' "$option" (__fish_complete_path "$value")
        case directories
            string replace --regex -- '^' "$option" (__fish_complete_directories "$value" '')
    end
end

# Dates come with the newest first.
complete --command coldchain --no-files --keep-order --arguments '(__coldchain_complete)'
