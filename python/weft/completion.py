"""Shell completion of the command `weft`, written from its own parsers."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

_BASH = """\
_weft() {{
    local command= words
    case ${{COMP_WORDS[1]}} in
        {names}) [ "$COMP_CWORD" -gt 1 ] && command=${{COMP_WORDS[1]}} ;;
    esac
    case $command in
{cases}
    esac
    [ "$COMP_CWORD" -eq 1 ] && words="$words {listed}"
    case ${{COMP_WORDS[COMP_CWORD - 1]}} in
{values}
    esac
    COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -o default -F _weft weft
"""


def script(shell: str, parsers: Mapping[str, argparse.ArgumentParser]) -> str:
    """The script for `bash`, `zsh` or `fish`; `parsers` by the name of their command."""
    if shell == "fish":
        return _fish(parsers)
    bash = _bash(parsers)
    return f"autoload -U bashcompinit && bashcompinit\n{bash}" if shell == "zsh" else bash


def _options(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [action for action in parser._actions if action.help is not argparse.SUPPRESS]


def _bash(parsers: Mapping[str, argparse.ArgumentParser]) -> str:
    cases, values = [], {}
    for name, parser in parsers.items():
        words: list[str] = []
        for action in _options(parser):
            words += action.option_strings or map(str, action.choices or ())
            if action.option_strings and action.choices:
                values["|".join(action.option_strings)] = " ".join(map(str, action.choices))
        pattern = name or '""'
        cases.append(f"        {pattern}) words='{' '.join(words)}' ;;")
    names = [name for name in parsers if name]
    return _BASH.format(
        names="|".join(names),
        listed=" ".join(names),
        cases="\n".join(cases),
        values="\n".join(f"        {k}) words='{v}' ;;" for k, v in values.items()),
    )


def _fish(parsers: Mapping[str, argparse.ArgumentParser]) -> str:
    names = " ".join(name for name in parsers if name)
    lines = []
    for name, parser in parsers.items():
        where = f"__fish_seen_subcommand_from {name or names}"
        where = where if name else f"not {where}"
        if name:
            about = (parser.description or "").partition(".")[0]
            lines.append(f"complete -c weft -n __fish_use_subcommand -a {name} -d {_quoted(about)}")
        for action in _options(parser):
            flags = "".join(
                f" -l {s[2:]}" if s.startswith("--") else f" -s {s[1:]}"
                for s in action.option_strings
            )
            choices = ""
            if action.choices:
                choices = f" -a {_quoted(' '.join(map(str, action.choices)))}"
            if flags or choices:
                takes = " -r" if flags and action.nargs != 0 else ""
                text = (action.help or "") % {"default": action.default}
                about = f" -d {_quoted(text)}" if text else ""
                lines.append(f"complete -c weft -n {_quoted(where)}{flags}{takes}{choices}{about}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", " ") + "'"
