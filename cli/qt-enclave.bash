# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Completion of qt-enclave's command line: the program itself says what may stand next.

_qt_enclave() {
    local kind text name current typed glued=
    local -a words=()

    # Readline cuts words at "=" and ":"; the program wants them whole.
    for text in "${COMP_WORDS[@]:1:COMP_CWORD}"; do
        if [[ ${#words[@]} -gt 0 && ( $glued || $text == [=:]* ) ]]; then
            words[-1]+=$text
        else
            words+=("$text")
        fi
        glued=
        [[ $text == *[=:] ]] && glued=1
    done
    current=${words[-1]}
    typed=${COMP_WORDS[COMP_CWORD]}
    [[ $typed == [=:]* ]] && typed=
    typed=${current%"$typed"} # stands already and is no part of what is completed
    [[ $current == "${COMP_WORDS[COMP_CWORD]}" ]] && typed=

    COMPREPLY=()
    while IFS=$'\t' read -r kind text; do
        if [[ $kind == word ]]; then
            COMPREPLY+=("${text#"$typed"}")
            [[ $text == *: ]] && compopt -o nospace 2>/dev/null
        else
            compopt -o filenames 2>/dev/null
            while IFS= read -r name; do
                COMPREPLY+=("${text#"$typed"}$name")
            done < <(compgen -f -- "${current#"$text"}")
        fi
    done < <("$1" --complete "${words[@]}" 2>/dev/null)
}

complete -F _qt_enclave qt-enclave
