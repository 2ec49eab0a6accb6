"""The scripts that `train completion` prints; each asks `train _complete` at a TAB.

The command asked is the one that was typed: an environment that is activated later counts.
"""

from __future__ import annotations

BASH = """\
# source <(train completion bash)
_dl_complete() {
    local line=${COMP_LINE:0:COMP_POINT}
    COMPREPLY=()
    while IFS= read -r line; do
        COMPREPLY+=("$line")
    done < <("${COMP_WORDS[0]}" _complete bash "$COMP_WORDBREAKS" "$line" 2>/dev/null)
}
complete -o nospace -F _dl_complete train evaluate
"""

ZSH = """\
# source <(train completion zsh)
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
_dl_complete() {
    local line word
    local -a before words_ shown open_ open_shown
    before=("${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}")
    for line in "${(@f)$("${words[1]}" _complete zsh "${before[@]}" 2>/dev/null)}"; do
        word=${line%%$'\\t'*}
        [[ -n $word ]] || continue
        if [[ $word == *[=./,] ]]; then
            open_+=("$word") open_shown+=("${line/$'\\t'/  -- }")
        else
            words_+=("$word") shown+=("${line/$'\\t'/  -- }")
        fi
    done
    (( $#words_ )) && compadd -l -d shown -a words_
    (( $#open_ )) && compadd -S '' -l -d open_shown -a open_
}
compdef _dl_complete train evaluate
"""

FISH = """\
# train completion fish | source
function _dl_complete
    set -l typed (commandline -opc)
    $typed[1] _complete fish $typed[2..-1] (commandline -ct) 2>/dev/null
end
complete -c train -f -a '(_dl_complete)'
complete -c evaluate -f -a '(_dl_complete)'
"""

SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}
