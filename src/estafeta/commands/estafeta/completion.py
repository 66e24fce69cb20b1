"""`estafeta completion bash|zsh`: what a shell needs to complete our commands and parameter names.

    source <(estafeta completion bash)

postconf's parameter names are asked from postconf itself, so they are those of the installed version.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

POSTFIX = "start start-fg stop abort reload status check flush set-permissions logrotate"

BASH = """\
_estafeta() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} command=${{COMP_WORDS[0]##*/}} choices=
    local place=$COMP_CWORD
    if [[ $command == estafeta && $COMP_CWORD -gt 1 ]]; then command=${{COMP_WORDS[1]}}; place=$((place - 1)); fi
    if [[ ${{COMP_WORDS[COMP_CWORD-1]}} == -c || ${{COMP_WORDS[COMP_CWORD-1]}} == --dir ]]; then
        COMPREPLY=($(compgen -d -- "$word")); return
    fi
    case $command in
        estafeta) choices="{commands}" ;;
        up) choices="--dir --port --domain --help" ;;
        completion) choices="bash zsh" ;;
        postfix) choices="{postfix}" ;;
        postconf) choices="$(postconf -dH 2>/dev/null)" ;;
        postsuper) choices="-d -e -f -h -H -p -r -s -S ALL hold incoming active deferred maildrop" ;;
        postqueue) choices="-p -j -f -i -s" ;;
        *) COMPREPLY=($(compgen -f -- "$word")); return ;;
    esac
    COMPREPLY=($(compgen -W "$choices" -- "$word"))
}}
complete -F _estafeta estafeta postfix postconf postsuper postqueue
"""

ZSH = """\
#compdef estafeta postfix postconf postsuper postqueue
_estafeta() {{
    local command=$service
    if [[ $command == estafeta ]]; then
        if (( CURRENT == 2 )); then compadd {commands}; return; fi
        command=$words[2]
    fi
    if [[ $words[CURRENT-1] == -c || $words[CURRENT-1] == --dir ]]; then _files -/; return; fi
    case $command in
        up) compadd -- --dir --port --domain --help ;;
        completion) compadd bash zsh ;;
        postfix) compadd {postfix} ;;
        postconf) compadd -- ${{(f)"$(postconf -dH 2>/dev/null)"}} ;;
        postsuper) compadd -- -d -e -f -h -H -p -r -s -S ALL hold incoming active deferred maildrop ;;
        postqueue) compadd -- -p -j -f -i -s ;;
        *) _files ;;
    esac
}}
compdef _estafeta estafeta postfix postconf postsuper postqueue
"""

SHELLS = {"bash": BASH, "zsh": ZSH}


def main(words: Sequence[str], commands: Sequence[str]) -> int:
    """Exit status 0, or 64 for a shell that we do not know."""
    if len(words) != 1 or words[0] not in SHELLS:
        sys.stderr.write(f"usage: estafeta completion {'|'.join(SHELLS)}\n")
        return 64
    sys.stdout.write(SHELLS[words[0]].format(commands=" ".join(commands), postfix=POSTFIX))
    return 0
