# bash completion for coldchain; bash 4.4 or later.
#
# For one user:  coldchain completions bash > ~/.local/share/bash-completion/completions/coldchain
# For a shell:   source <(coldchain completions bash)

_coldchain() {
    local -a found
    # Bash breaks words at `:` and `=`; the line tells more than the pieces.
    mapfile -t found < <(command coldchain complete bash --word-breaks="$COMP_WORDBREAKS" \
        -- "${COMP_LINE:0:COMP_POINT}" 2>/dev/null)
    case ${found[0]-} in
        *nospace) compopt -o nospace ;;
        files) compopt -o default ;;
        directories) compopt -o dirnames ;;
    esac
    COMPREPLY=("${found[@]:1}")
}

# `nosort`: dates come with the newest first.
complete -o nosort -F _coldchain coldchain
