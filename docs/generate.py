"""Writes the tables of the documentation that the code itself knows: `make docs`.

A table stands between `<!-- begin NAME -->` and `<!-- end NAME -->`. With `--check` nothing is
written; the exit status is 1 when a table is not what the code says.
"""

import argparse
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics import MetricWrapperBase

from service.__main__ import command_parser
from service.domain.errors import FieldViolation, Reason, ServiceError
from service.domain.field_table import FieldTable, Rule, StepField, Support
from service.domain.step import StepType
from service.domain.warnings import AFTER_WRITE, ProblemType
from service.providers.registry import PROVIDERS
from service.settings import settings_table
from service.telemetry import metrics
from service.transport.log_events import log_table
from service.transport.metrics_server import journal_families
from service.transport.status import code_of

ROOT = Path(__file__).parents[1]

TABLES: Mapping[str, FieldTable] = {
    name.capitalize(): provider.fields for name, provider in PROVIDERS.items()
}

NAMES: Mapping[frozenset[StepType], str] = {
    frozenset(StepType): "all",
    frozenset({StepType.AUTO_EMAIL}): "automatic e-mails",
    frozenset({StepType.MANUAL_EMAIL}): "manual e-mails",
    frozenset({StepType.LINKEDIN_SEND_MESSAGE}): "LinkedIn",
    frozenset({StepType.AUTO_EMAIL, StepType.MANUAL_EMAIL}): "e-mails",
    frozenset({StepType.CALL, StepType.TASK}): "calls, tasks",
    frozenset(step_type for step_type in StepType if step_type.has_message): "e-mails, LinkedIn",
    frozenset(step_type for step_type in StepType if not step_type.is_email): (
        "calls, tasks, LinkedIn"
    ),
    frozenset(StepType) - {StepType.LINKEDIN_SEND_MESSAGE}: "e-mails, calls, tasks",
    frozenset(StepType) - {StepType.AUTO_EMAIL}: "all but automatic e-mails",
}
"""How groups of types are called in a table."""


def main() -> int:
    """Bring all tables up to date, or with `--check` say which are not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if one is old")
    check = parser.parse_args().check
    stale = [name for name, (path, table) in DOCUMENTS.items() if _update(path, name, table, check)]
    for name in stale:
        print(f"{'not current' if check else 'updated'}: {name}")
    return 1 if check and stale else 0


def provider_table() -> str:
    """Return what becomes of each field at each provider."""
    rows = [f"| field | {' | '.join(TABLES)} |", f"| --- |{' --- |' * len(TABLES)}"]
    for field in StepField:
        cells = " | ".join(_cell(table, field) for table in TABLES.values())
        rows.append(f"| `{field.removeprefix('step.')}` | {cells} |")
    return "\n".join(rows)


def need_table() -> str:
    """Return what a connection to each provider needs, and what no step can have there."""
    rows = ["| provider | needed | for |", "| --- | --- | --- |"]
    for name, provider in PROVIDERS.items():
        fields_of_need: dict[str, list[str]] = {}
        for each in provider.needs:
            fields_of_need.setdefault(each.need, []).append(each.field)
        for need, fields in fields_of_need.items():
            named = ", ".join(f"`{field.removeprefix('step.')}`" for field in fields if field)
            rows.append(f"| {name.capitalize()} | {need} | {named or 'every step'} |")
    rows += ["", "| provider | whatever the step |", "| --- | --- |"]
    for name, provider in PROVIDERS.items():
        rows += [f"| {name.capitalize()} | {limit} |" for limit in provider.limits]
    return "\n".join(rows)


def notes() -> str:
    """Return the sentence of each rule, for each provider."""
    sections = []
    for vendor, table in TABLES.items():
        rows = [f"### {vendor}", "", "| fields | steps | |", "| --- | --- | --- |"]
        for (rule, types), fields in _fields_by_rule(table).items():
            named = ", ".join(f"`{field.removeprefix('step.')}`" for field in fields)
            rows.append(f"| {named} | {NAMES[types]} | {rule.note}{_warning(rule)} |")
        sections.append("\n".join(rows))
    return "\n\n".join(sections)


def warning_table() -> str:
    """Return the list of warnings."""
    rows = ["| `problem_type` | title | shows |", "| --- | --- | --- |"]
    for problem in ProblemType:
        shows = "after a write only" if problem in AFTER_WRITE else "before the first write"
        rows.append(f"| `{problem.name}` | {problem.value} | {shows} |")
    return "\n".join(rows)


def error_table() -> str:
    """Return the list of reasons for which a request fails."""
    rows = ["| reason | code | what happened | what to do |", "| --- | --- | --- | --- |"]
    rows += [
        f"| `{reason}` | {_codes(reason)} | {reason.happened} | {reason.remedy} |"
        for reason in Reason
    ]
    return "\n".join(rows)


def command_line() -> str:
    """Return each command with its options, as the program's own parser has them."""
    parser = command_parser()
    return "\n\n".join(
        ["\n\n".join(_command(parser)), *map("\n\n".join, _commands(parser))],
    )


def setting_table() -> str:
    """Return the list of settings."""
    return f"| variable | default | meaning |\n| --- | --- | --- |\n{settings_table()}"


def log_lines() -> str:
    """Return the list of what is logged."""
    return f"| event | says | fields |\n| --- | --- | --- |\n{log_table()}"


def metric_table() -> str:
    """Return the list of metrics, but for those of the process, which are the library's."""
    rows = ["| metric | type | labels | meaning |", "| --- | --- | --- | --- |"]
    definitions = [each for each in vars(metrics).values() if isinstance(each, MetricWrapperBase)]
    rows += [_metric(next(iter(each.describe())), each) for each in definitions]
    rows += [_metric(each, each) for each in journal_families()]
    return "\n".join(rows)


DOCUMENTS: Mapping[str, tuple[Path, Callable[[], str]]] = {
    "providers": (ROOT / "README.md", provider_table),
    "needs": (ROOT / "docs/providers.md", need_table),
    "rules": (ROOT / "docs/fields.md", notes),
    "warnings": (ROOT / "docs/warnings.md", warning_table),
    "commands": (ROOT / "docs/command-line.md", command_line),
    "errors": (ROOT / "docs/errors.md", error_table),
    "settings": (ROOT / "docs/settings.md", setting_table),
    "log": (ROOT / "docs/operations.md", log_lines),
    "metrics": (ROOT / "docs/telemetry.md", metric_table),
}


def _commands(parser: argparse.ArgumentParser) -> Iterator[list[str]]:
    """Yield the paragraphs of every command below this one that does something itself."""
    for each in _subcommands(parser):
        if any(_subcommands(each)):
            yield from _commands(each)
        else:
            yield [f"## {each.prog.partition(' ')[2]}", *_command(each)]


def _subcommands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    for action in parser._actions:  # noqa: SLF001 - argparse has no other way to ask
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - likewise
            yield from action.choices.values()


def _command(parser: argparse.ArgumentParser) -> list[str]:
    """Return the paragraphs of one command: what it does, its arguments, its exit status."""
    rows = [
        f"| {_argument(action)} | {_necessity(parser, action)} | {action.help or ''} |"
        for action in parser._actions  # noqa: SLF001 - likewise
        if not isinstance(action, argparse._HelpAction | argparse._SubParsersAction)  # noqa: SLF001
    ]
    table = "\n".join(["| argument | | meaning |", "| --- | --- | --- |", *rows])
    described = inspect.cleandoc(parser.description or "")
    return [each for each in (described, table if rows else "", parser.epilog) if each]


def _argument(action: argparse.Action) -> str:
    """Return what is typed for an argument."""
    name = "/".join(action.option_strings)
    value = str(action.metavar or action.dest.upper())
    takes_value = action.nargs != 0
    return f"`{' '.join(filter(None, (name, value if takes_value else '')))}`"


def _necessity(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    """Return whether an argument has to be given, and what is taken."""
    words = ["required"] if action.required else []
    for group in parser._mutually_exclusive_groups:  # noqa: SLF001 - likewise
        if action in group._group_actions:  # noqa: SLF001 - likewise
            names = [f"`{each.option_strings[0]}`" for each in group._group_actions]  # noqa: SLF001
            words.append(f"{'exactly' if group.required else 'at most'} one of {', '.join(names)}")
    if action.choices:
        words.append(", ".join(f"`{each}`" for each in action.choices))
    return "; ".join(words)


def _metric(family: Metric, definition: MetricWrapperBase | GaugeMetricFamily) -> str:
    """Return one metric, by the name under which it is scraped."""
    name = f"{family.name}_total" if family.type == "counter" else family.name
    labels = ", ".join(f"`{each}`" for each in definition._labelnames)  # noqa: SLF001 - likewise
    return f"| `{name}` | {family.type} | {labels} | {family.documentation} |"


def _codes(reason: Reason) -> str:
    """Return the gRPC code, and where it depends on the fields that are named, the other one."""
    plain = f"`{code_of(ServiceError(reason, '')).name}`"
    field = FieldViolation("step", "")
    of_field = f"`{code_of(ServiceError(reason, '', (field,))).name}`"
    if of_field == plain:
        return plain
    return f"{of_field} when the provider points at a field of the request, else {plain}"


def _cell(table: FieldTable, field: StepField) -> str:
    """Return what becomes of a field for most types, and for the others in parentheses."""
    types_by_support: dict[Support, set[StepType]] = {}
    for step_type in StepType:
        types_by_support.setdefault(table[step_type][field].support, set()).add(step_type)
    most, *others = sorted(types_by_support, key=lambda each: -len(types_by_support[each]))
    in_parentheses = "; ".join(
        f"{NAMES[frozenset(types_by_support[each])]}: {each.value}" for each in others
    )
    return f"{most.value} ({in_parentheses})" if others else most.value


def _fields_by_rule(
    table: FieldTable,
) -> dict[tuple[Rule, frozenset[StepType]], list[StepField]]:
    """Return the fields that are treated alike, for the types that they are treated so for."""
    fields: dict[tuple[Rule, frozenset[StepType]], list[StepField]] = {}
    for field in StepField:
        types_by_rule: dict[Rule, set[StepType]] = {}
        for step_type in StepType:
            types_by_rule.setdefault(table[step_type][field], set()).add(step_type)
        for rule, types in types_by_rule.items():
            if rule.note:
                fields.setdefault((rule, frozenset(types)), []).append(field)
    return fields


def _warning(rule: Rule) -> str:
    return f" (`{rule.problem_type.name}`)" if rule.problem_type else ""


def _update(path: Path, name: str, table: Callable[[], str], check: bool) -> bool:  # noqa: FBT001
    """Put a table in its place; say whether what was there is another one."""
    text = path.read_text()
    begin, end = f"<!-- begin {name} -->\n", f"\n<!-- end {name} -->"
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    assert pattern.search(text), f"{path} has no place for the table {name}"
    updated = pattern.sub(lambda _: f"{begin}{table()}{end}", text)
    if updated == text:
        return False
    if not check:
        path.write_text(updated)
    return True


if __name__ == "__main__":
    sys.exit(main())
