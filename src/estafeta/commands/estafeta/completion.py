"""`estafeta completion bash|zsh|fish`: what a shell needs to complete our commands and parameter names.

    source <(estafeta completion bash)

postconf's parameter names are asked from postconf itself, so they are those of the installed version.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from estafeta.commands.help import HELP

POSTFIX = "start start-fg stop abort reload status check flush set-permissions upgrade-configuration logrotate"

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
        completion) choices="bash zsh fish" ;;
        auth) choices="test" ;;
        limits) choices="-a -c --help" ;;
        postfix) choices="{postfix}" ;;
        postconf) choices="$(postconf -dH 2>/dev/null)" ;;
        postsuper) choices="-d -e -f -h -H -p -r -s -S ALL hold incoming active deferred maildrop" ;;
        postqueue) choices="-p -j -f -i -s" ;;
        *) COMPREPLY=($(compgen -f -- "$word")); return ;;
    esac
    COMPREPLY=($(compgen -W "$choices" -- "$word"))
}}
complete -F _estafeta estafeta {installed}
"""

ZSH = """\
#compdef estafeta {installed}
_estafeta() {{
    local command=$service
    if [[ $command == estafeta ]]; then
        if (( CURRENT == 2 )); then compadd {commands}; return; fi
        command=$words[2]
    fi
    if [[ $words[CURRENT-1] == -c || $words[CURRENT-1] == --dir ]]; then _files -/; return; fi
    case $command in
        up) compadd -- --dir --port --domain --help ;;
        completion) compadd bash zsh fish ;;
        auth) compadd test ;;
        limits) compadd -- -a -c --help ;;
        postfix) compadd {postfix} ;;
        postconf) compadd -- ${{(f)"$(postconf -dH 2>/dev/null)"}} ;;
        postsuper) compadd -- -d -e -f -h -H -p -r -s -S ALL hold incoming active deferred maildrop ;;
        postqueue) compadd -- -p -j -f -i -s ;;
        *) _files ;;
    esac
}}
compdef _estafeta estafeta {installed}
"""

FISH = """\
complete -c estafeta -n __fish_use_subcommand -f -a "{commands}"
complete -c estafeta -n "__fish_seen_subcommand_from up" -l dir -l port -l domain -l help
complete -c estafeta -n "__fish_seen_subcommand_from completion" -f -a "bash zsh fish"
complete -c estafeta -n "__fish_seen_subcommand_from auth" -f -a test
complete -c estafeta -n "__fish_seen_subcommand_from limits" -f -a "-a -c --help"
for command in {installed}
    complete -c $command -l help -d "what it does, and its options"
end
complete -c postfix -f -a "{postfix}"
complete -c postconf -f -a "(postconf -dH 2>/dev/null)"
complete -c postsuper -f -a "-d -e -f -h -H -p -r -s -S ALL hold incoming active deferred maildrop"
complete -c postqueue -f -a "-p -j -f -i -s"
"""

SHELLS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def main(words: Sequence[str], commands: Sequence[str]) -> int:
    """Exit status 0, or 64 for a shell that we do not know."""
    if len(words) != 1 or words[0] not in SHELLS:
        sys.stderr.write(f"usage: estafeta completion {'|'.join(SHELLS)}\n")
        return 64
    sys.stdout.write(script(words[0], commands))
    return 0


def script(shell: str, commands: Iterable[str]) -> str:
    """What the shell is to read; `commands` are those of estafeta itself."""
    return SHELLS[shell].format(commands=" ".join(commands), postfix=POSTFIX, installed=" ".join(sorted(HELP)))
