"""Every operation of the catalogue that takes a group is reported without one and silent with one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from collectivelint.catalog import reader as catalog
from collectivelint.catalog.rows import GIVEN

if TYPE_CHECKING:
    from collectivelint.catalog.model import Api
    from tests.conftest import Project

_CALLS = [
    pytest.param(api, id=api.name)
    for api in catalog.load().of("collective", "point_to_point")
    # A call that is no collective without a group misses none.
    if api.roles.get("group", "self") != "self" and (api.roles["group"], GIVEN) not in api.when
]


def _call(api: Api, *, positional: bool, **keywords: str) -> str:
    """A call with every parameter before the group by position, then the group by position or as keyword."""
    before = list(api.params[: api.position("group")])
    if positional:
        before.append(keywords.pop(api.roles["group"]))
    return f"{api.name}({', '.join([*before, *(f'{name}={value}' for name, value in keywords.items())])})"


@pytest.mark.parametrize("api", _CALLS)
def test_group_is_missing_or_not(project: Project, api: Api) -> None:
    module, _, name = api.name.rpartition(".")
    role = api.roles["group"]
    calls = [
        _call(api, positional=False) + "  # CL101",
        _call(api, positional=True, **{role: "None"}) + "  # CL101",
        _call(api, positional=False, **{role: "None"}) + "  # CL101",
        _call(api, positional=False, **{role: "pg if pg else None"}) + "  # CL101",
        _call(api, positional=True, **{role: "pg"}),
        _call(api, positional=False, **{role: "pg"}),
        _call(api, positional=False, **{role: "None if False else pg"}) + "  # CL101",
    ]
    arguments = ", ".join(dict.fromkeys([*api.params, "pg"]))
    lines = [f"import {module}", f"from {module} import {name} as operation", f"def main({arguments}):"]
    lines += [f"    {call}" for call in calls]
    lines += [f"    {call.replace(api.name, 'operation')}" for call in calls]
    project.check_marked("\n".join(lines) + "\n", select=["CL101"])
