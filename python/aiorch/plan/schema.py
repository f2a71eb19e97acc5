"""The shape of a request to delegate: JSON object in, checked values out."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from aiorch.errors import DirectiveError

# Linux refuses one argument above 128 KiB; a rule's or a role's words come on top of the task.
MAX_TASK_BYTES = 64 * 1024
MAX_WORKERS = 32
MAX_NAME = 40
MAX_ID = 200
MAX_PATH = 1024

# What follows when a worker fails that another one waits for.
POLICIES = ("skip", "run", "stop")
DEFAULT_POLICY = "skip"

_REQUEST_KEYS = ("task", "id", "workers", "file", "on_failure")
_WORKER_KEYS = ("name", "type", "task", "after", "host", "idempotent", "on_failure")
_FORBIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:-]{0,254}")
_NAME_REST = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """One worker that is asked for; an empty `type` or `task` is filled in by the plan.

    `idempotent` says that it may be run again when nobody knows how far it came. `on_failure` is one of
    POLICIES, or empty for the plan's.
    """

    name: str
    type: str
    task: str
    after: tuple[str, ...] = ()
    host: str | None = None
    idempotent: bool = False
    on_failure: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """One checked request; `workers` is None when the rules are to plan.

    With `file` the task is empty: the payload has to be read and parsed in its place. `on_failure` goes for
    all workers that do not say otherwise.
    `unknown_keys` names what was given and is not used, `workers[0].cmd` for instance.
    """

    task: str
    id: str | None
    workers: tuple[WorkerSpec, ...] | None
    file: str | None
    unknown_keys: tuple[str, ...]
    on_failure: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """The workers that one request asks for, each with name, type and task filled in."""

    request: Request
    workers: tuple[WorkerSpec, ...]


def parse_request(payload: Mapping[str, object]) -> Request:
    """Return the checked request of a directive's JSON object.

    Raises DirectiveError with one sentence that names the key. Numbers are taken as ids by their
    digits, so 7 and "7" are the same id. Of a text only CR LF is changed, to LF.
    """
    unknown = [_shown(key) for key in payload if key not in _REQUEST_KEYS]
    identity = _identity(payload.get("id"))
    if payload.get("file") is not None:
        return Request("", identity, None, _file(payload), tuple(unknown))
    if payload.get("task") is None:
        raise DirectiveError('"task" is missing: say what is to be done')
    task = _text(payload["task"], "task")
    workers = payload.get("workers")
    specs = None if workers is None else _workers(workers, unknown)
    return Request(
        task, identity, specs, None, tuple(unknown), _policy(payload.get("on_failure"), "on_failure")
    )


def clean_name(text: str) -> str:
    """Return `text` as a worker name of `[A-Za-z0-9._-]{1,40}`, or '' when nothing of it is left."""
    return _NAME_REST.sub("-", text).strip("-._")[:MAX_NAME].rstrip("-._")


def unique_name(wanted: str, taken: set[str]) -> str:
    """Return `wanted`, or with the first free number from -2 on when it is taken."""
    name, number = wanted, 1
    while name in taken:
        number += 1
        suffix = f"-{number}"
        name = wanted[: MAX_NAME - len(suffix)] + suffix
    return name


def _shown(key: object) -> str:
    return _FORBIDDEN.sub("?", str(key))[:80]


def _identity(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise DirectiveError('"id" must be a string or a number')
    if isinstance(value, int) and value.bit_length() > 256:
        raise DirectiveError('"id" is too large a number')
    if isinstance(value, float) and not math.isfinite(value):
        raise DirectiveError('"id" must be a finite number')
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)
    text = str(value)
    if not text.strip() or len(text) > MAX_ID or _FORBIDDEN.search(text) or "\n" in text:
        raise DirectiveError(f'"id" must be 1 to {MAX_ID} characters on one line, without control characters')
    return text


def _file(payload: Mapping[str, object]) -> str:
    value = payload["file"]
    for other in ("task", "workers", "on_failure"):
        if payload.get(other) is not None:
            raise DirectiveError(f'"file" and "{other}" exclude each other: the file holds the payload')
    if not isinstance(value, str) or not value.strip():
        raise DirectiveError('"file" must be the path of a file in the project')
    if len(value) > MAX_PATH or _FORBIDDEN.search(value) or "\n" in value:
        raise DirectiveError('"file" is too long or holds control characters')
    return value


def _text(value: object, key: str) -> str:
    if not isinstance(value, str):
        raise DirectiveError(f'"{key}" must be a string, not {_kind(value)}')
    text = value.replace("\r\n", "\n")
    if not text.strip():
        raise DirectiveError(f'"{key}" is empty')
    if len(text) > MAX_TASK_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_TASK_BYTES:
        raise DirectiveError(
            f'"{key}" is longer than {MAX_TASK_BYTES // 1024} KiB: put the long part into a file of the'
            " project and name that file in the task"
        )
    bad = _FORBIDDEN.search(text)
    if bad:
        raise DirectiveError(f'"{key}" holds the control character U+{ord(bad.group()):04X}')
    return text


def _kind(value: object) -> str:
    names = {str: "a string", bool: "a truth value", int: "a number", float: "a number", type(None): "null"}
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    return names.get(type(value), "something else")


def _workers(value: object, unknown: list[str]) -> tuple[WorkerSpec, ...]:
    if not isinstance(value, list | tuple):
        raise DirectiveError(f'"workers" must be a list of names or objects, not {_kind(value)}')
    if not value:
        raise DirectiveError('"workers" is an empty list: leave it out to let the rules plan')
    if len(value) > MAX_WORKERS:
        raise DirectiveError(f'"workers" asks for {len(value)} workers, the limit is {MAX_WORKERS}')
    return _with_unique_names([_worker(item, index, unknown) for index, item in enumerate(value)])


def _worker(item: object, index: int, unknown: list[str]) -> WorkerSpec:
    where = f"workers[{index}]"
    if isinstance(item, str):
        return WorkerSpec(_name(item, f"{where}"), "", "")
    if not isinstance(item, Mapping):
        raise DirectiveError(f'"{where}" must be a name or an object, not {_kind(item)}')
    unknown.extend(f"{where}.{_shown(key)}" for key in item if key not in _WORKER_KEYS)
    kind = _pattern(item.get("type"), f"{where}.type", _TYPE)
    given = item.get("name")
    name = _name(given, f"{where}.name") if given is not None else clean_name(kind) or f"worker-{index + 1}"
    task = "" if item.get("task") is None else _text(item["task"], f"{where}.task")
    host = _pattern(item.get("host"), f"{where}.host", _HOST) or None
    again = item.get("idempotent", False)
    if not isinstance(again, bool):
        raise DirectiveError(f'"{where}.idempotent" must be true or false, not {_kind(again)}')
    policy = _policy(item.get("on_failure"), f"{where}.on_failure")
    return WorkerSpec(name, kind, task, _after(item.get("after"), where), host, again, policy)


def _policy(value: object, key: str) -> str:
    if value is None:
        return ""
    if value not in POLICIES:
        raise DirectiveError(f'"{key}" must be one of {", ".join(POLICIES)}')
    return str(value)


def _name(value: object, key: str) -> str:
    if not isinstance(value, str):
        raise DirectiveError(f'"{key}" must be a string, not {_kind(value)}')
    name = clean_name(value)
    if not name:
        raise DirectiveError(f'"{key}" must hold letters or digits (A-Z, a-z, 0-9)')
    return name


def _pattern(value: object, key: str, pattern: re.Pattern[str]) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise DirectiveError(f'"{key}" must be a string, not {_kind(value)}')
    if not pattern.fullmatch(value):
        raise DirectiveError(
            f'"{key}" may only hold letters, digits and . _ - and must not start with a sign'
        )
    return value


def _after(value: object, where: str) -> tuple[str, ...]:
    if value is None:
        return ()
    items: Sequence[object] = (
        [value] if isinstance(value, str) else value if isinstance(value, list | tuple) else ()
    )
    if not items and value != [] and value != ():
        raise DirectiveError(f'"{where}.after" must be a name or a list of names, not {_kind(value)}')
    return tuple(dict.fromkeys(_name(item, f"{where}.after") for item in items))


def _with_unique_names(specs: list[WorkerSpec]) -> tuple[WorkerSpec, ...]:
    names = [spec.name for spec in specs]
    doubles = {name for name in names if names.count(name) > 1}
    taken: set[str] = set()
    result = []
    for spec in specs:
        unclear = doubles.intersection(spec.after)
        if unclear:
            raise DirectiveError(
                f'"after" of {spec.name} names {min(unclear)}, and two workers have that name'
            )
        # A number must not take a name that another worker was given.
        name = unique_name(spec.name, taken | (set(names) - {spec.name}))
        taken.add(name)
        result.append(replace(spec, name=name))
    return tuple(result)
