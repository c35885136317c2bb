"""Unusual, generated and recursive code: no internal error, no explosion, and what is found there is right."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from tests.conftest import Project

_HEAD: Final = "import torch.distributed as dist\n"

_UNUSUAL: Final = {
    "star arguments": "def f(*a, **k):\n    dist.all_reduce(*a, **k)\n    print(*a, *[1], **k, **{})\n",
    "positional only": "def f(a, /, b=lambda x, *y, z=1, **w: x, *, c: int = 0, **d):\n    return f(1, c=2)\n",
    "generator in a lambda": "f = lambda: (yield)\n",
    "walrus": "def f(x):\n    while (line := next(x, None)) is not None:\n        if (n := len(line)) > (m := 3):\n            pass\n",
    "scopes": "def f():\n    x = 1\n    def g():\n        global y\n        nonlocal x\n        x = y = dist.get_rank()\n    return g\n",
    "class in a function in a class": "class A:\n    def f(self):\n        class B(A):\n            def g(self): return super().f()\n",
    "a method without self": "class A:\n    def f(): pass\n    def g(*a): a[0].x = 1\n    def h(self=None): return self.h().h\n",
    "a class that is its own base": "class A(A):\n    def f(self): return super().f()\na = A().f()\n",
    "classes that are each other's base": "class A(B):\n    pass\nclass B(A):\n    pass\nB().f()\nA.x.y()\n",
    "bases that are calls": "class A(f(), x[0], metaclass=M, **k):\n    pass\nA().x()\n",
    "slices": "x[1:2, ::3, ...] = y.z[w] = a, *b = c\ndel x[0], (y, z)\n",
    "targets": "for x.y in z: pass\nfor x[0], (a, *b) in z: pass\nwith f() as (x, *y), g() as x[0]: pass\n",
    "match": (
        "match x:\n    case {'a': [1, *rest], **kw} if rest: pass\n    case P(x=0, y=[_, _]) | None: pass\n"
        "    case 'a' | -1 | 1.5 | 1+2j | True: pass\n    case (a, b) as c: pass\n    case dist.x: pass\n    case [*_]: pass\n"
    ),
    "match without a match": "match = 1\nmatch[0]\nmatch(1)\n",
    "async": (
        "async def f():\n    async for x in y:\n        async with z as a, b: await c\n    else:\n        pass\n"
        "    return [await b async for b in c if await d]\n"
    ),
    "decorators": "@(lambda f: f)\n@x[0](1).y\ndef f(): pass\n@f\nclass A: pass\nA()\nf()\n",
    "f-strings": "print(f'{x!r:>{w}.{p}f} {dist.get_rank()=} {{}}')\n",
    "operators": "x = -a ** ~b @ c\nx @= y\nx //= y\nx <<= 1\ny = a if b else c if d else e\n0 < a <= b != c in d not in e is f\n",
    "no body": "class A: ...\ndef f(): ...\ntry: ...\nfinally: ...\n",
    "exits everywhere": "def f():\n    for x in y:\n        try:\n            continue\n        finally:\n            return\n    raise\n",
    "imports": "from . import *\nfrom .. import x\nfrom ...y import z as w\nfrom . import main\nimport a.b.c as d, e.f\nx.y\nw.z\n",
    "imports of itself": "import main\nfrom main import *\nfrom main import f\nmain.f()\nf()\n",
    "names of builtins": "int = print = dist.get_rank\nif int() == 0: print()\n",
    "aliases in a circle": "a = b\nb = c\nc = a\na()\na.x()\n",
    "assigned to itself": "x = x\n",
    "assigned to its part": "y = y.z\ny()\n",
    "assigned to each other's parts": "a = b.x\nb = a.y\na()\n",
    "annotations": "x: 'A.B[' = 1\ndef f(a: 'Optional[', b: 1 + 2, c: A | None | 'B', *d: int) -> 'X': return a\n",
    "tuples of nothing": "() = []\n[] = ()\nfor () in []: pass\nx = ()[0]\n",
    "soft keywords": "type = 1\ncase = 2\n_ = 3\n",
    "recursion": "def f(n): return g(n) or f(n - 1)\ndef g(n): return f(n) and g(n)\nf(g(f))\n",
    "a property that asks itself": "class A:\n    @property\n    def p(self): return self.p\n    @p.setter\n    def p(self, v): self.p = v\n",
    "attributes that hang together": "class A:\n    def __init__(self): self.x = self.y\n    def f(self): self.y = self.x\n",
    "an instance of itself": "class A:\n    def __init__(self): self.a = A()\n    def f(self): return self.a.a.a.f()\nA().a.a.f()\n",
    "non-ascii names": "größe = dist.get_rank()\nif größe == 0: π = 1\n",
    "conditional functions": "if x:\n    def f(): pass\nelse:\n    f = None\nf()\n",
    "a call of everything": "f()()[0]().x(y)(z=1)(*a)(**b)\n(lambda: f)()()\n[f][0]()\n{1: f}[1]()\n(f if x else g)()\n",
    "assert of a tuple": "dist.all_reduce(t, group=g)\nassert (t.a == 1, 'm')\n",
    "form feeds": "\x0cx = 1\n\x0c\ndef f():\n    x = 2\n\x0c    y = 3\n",
    "backslashes": "if x \\\n   and \\\n   y:\\\n   pass\n",
    "deprecated escapes": "x = '\\d'\nassert x is 'y'\n",
}  # fmt: skip


@pytest.mark.parametrize("code", [pytest.param(code, id=name) for name, code in _UNUSUAL.items()])
def test_unusual_code_is_understood(project: Project, code: str) -> None:
    """No internal error; a marker collective before and behind the code is still found."""
    text = f"{_HEAD}\n\ndef first():\n    dist.barrier()\n\n\n{code}\n\ndef last():\n    dist.barrier()\n"
    project.write(text)
    lines = [number for number, line in enumerate(text.split("\n"), 1) if line == "    dist.barrier()"]
    found = project.found(select=["CL101", "CL201"])
    assert [line for _, line, code in found if code == "CL101"][:1] == lines[:1]
    assert {line for _, line, code in found if code == "CL101"} >= set(lines)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="new syntax")
def test_exception_groups(project: Project) -> None:
    project.check_marked(
        f"{_HEAD}try:\n    dist.barrier()  # CL101\nexcept* ValueError:\n    dist.barrier()  # CL101\nelse:\n"
        "    dist.barrier()  # CL101\n",
        select=["CL101"],
    )


@pytest.mark.skipif(sys.version_info < (3, 12), reason="new syntax")
def test_type_parameters(project: Project) -> None:
    project.check_marked(
        f"{_HEAD}type X = list[int]\n\n\ndef f[T](x: T) -> T:\n    dist.barrier()  # CL101\n\n\nclass A[T]:\n"
        "    def m(self):\n        dist.barrier()  # CL101\n",
        select=["CL101"],
    )


_GENERATED: Final = {
    "a long sum": f"x = {' + '.join(['a'] * 4000)}\n",
    "a long chain of attributes": f"x{'.a' * 900}()\n",
    "a long elif": "if x == 0: pass\n" + "".join(f"elif x == {i}: dist.barrier(group=g)\n" for i in range(300)),
    "many early returns": "def f(x):\n" + "".join(f"    if x.a{i}: return dist.barrier(group=g)\n" for i in range(300)),
    "a deep chain of calls": "def f0(): dist.barrier(group=g)\n"
    + "".join(f"def f{i}(): f{i - 1}(); f{i - 1}()\n" for i in range(1, 300)),
    "deep blocks": "".join(f"{' ' * i}if x{i}:\n" for i in range(90)) + f"{' ' * 90}dist.barrier(group=g)\n",
    "many definitions": "".join(f"def f{i}(x):\n    y = g(x)\n    return y\n" for i in range(2000)),
    "many conditions": f"if {' and '.join(f'a{i}' for i in range(900))}: dist.barrier(group=g)\n",
    "a class tower": "class C0: pass\n"
    + "".join(f"class C{i}(C{i - 1}):\n    def m(self): self.m()\n" for i in range(1, 120)),
    "a value used twice, again and again": "def f(r):\n" + "    r = (r, r)\n" * 60 + "    if r: dist.barrier(group=g)\n",
    "a rank used twice, again and again": "r = dist.get_rank(g)\n" + "r = r + r\n" * 60 + "if r: x()\n",
    "a call of itself, again and again": "def f(r):\n" + "    r = h(r, r)\n" * 60 + "    return r\n",
    "alternatives": f"if {' or '.join(f'(a{i} and b{i})' for i in range(60))}: dist.barrier(group=g)\n",
    "alternatives of ranks": f"if {' or '.join(f'(a{i} and dist.get_rank() == {i})' for i in range(60))}: x()\n",
    "many branches in a row": "".join(f"if x{i}: r = {i}\n" for i in range(200)) + "if r: dist.barrier(group=g)\n",
    "undecided branches with returns": "def f(x):\n"
    + "".join(f"    if x{i}:\n        if y{i}: return\n        dist.barrier(group=g)\n" for i in range(60)),
}  # fmt: skip
#: Far above what is needed, so that an explosion ends here and not in the whole machine.
_LIMITED: Final = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
sys.argv = ["collectivelint", "main.py", "--isolated", "--output-format", "concise"]
runpy.run_module("collectivelint", run_name="__main__")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits on a process")
@pytest.mark.parametrize("code", [pytest.param(code, id=name) for name, code in _GENERATED.items()])
def test_generated_code_does_not_explode(project: Project, code: str) -> None:
    project.write(_HEAD + code)
    done = subprocess.run([sys.executable, "-c", _LIMITED], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "No findings in 1 file.\n")
