#compdef coldchain
# zsh completion for coldchain.
#
# For all users: coldchain completions zsh > /usr/local/share/zsh/site-functions/_coldchain
# For a shell:   source <(coldchain completions zsh), after compinit

_coldchain() {
    local -a found words_found shown options
    local line directive
    found=("${(@f)$(command coldchain complete zsh \
        -- "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
    directive=$found[1]
    for line in "${(@)found[2,-1]}"; do
        words_found+=("${line%%$'\t'*}")
        if [[ $line == *$'\t'* ]]; then
            shown+=("${line%%$'\t'*}  -- ${line#*$'\t'}")
        fi
    done
    [[ $directive == *nospace ]] && options=(-S '')
    if (( $#shown )); then
        compadd "$options[@]" -V coldchain -l -d shown -a words_found
    elif (( $#words_found )); then
        # Dates come with the newest first.
        compadd "$options[@]" -V coldchain -a words_found
    fi
    case $directive in
        files) compset -P '--[^=]#='; _files ;;
        directories) compset -P '--[^=]#='; _files -/ ;;
    esac
}

if [[ $funcstack[1] == _coldchain ]]; then
    _coldchain "$@"
else
    compdef _coldchain coldchain
fi
