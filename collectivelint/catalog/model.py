"""The catalogue: what other libraries' functions do, read from `rules/catalog/*.toml`.

The linter reads it to analyse, the tracer to know which calls create groups. Supporting another framework means
adding a TOML file; nothing in the code names a framework.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final

from .names import CatalogNames
from .operations import SETTING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .operations import Operation
    from .rows import Convention, FileApi
    from .schema import Category

#: The method of a tensor that runs a backward pass; with this prefix, what one does for the models of a class.
BACKWARD: Final = "backward"


@dataclass(frozen=True, slots=True)
class Api:
    """One function of a framework and what its arguments mean; `"return"` among parameters stands for the result."""

    name: str
    category: Category
    params: tuple[str, ...]
    #: A role (`group`, `src`, `async_op`, ...) -> the parameter that plays it.
    roles: Mapping[str, str]
    source: str
    operation: Operation | None = None
    #: The parameters whose content is equal on all ranks of the group after the call.
    uniform: tuple[str, ...] = ()
    #: The parameters that hold data of other ranks after the call, without being equal on all ranks.
    receives: tuple[str, ...] = ()
    #: The parameters that are filled from a file.
    restores: tuple[str, ...] = ()
    axis: str | None = None
    #: The class of the result, or a class for each element of the tuple that is returned.
    returns: str | None = None
    #: How a row of its category is to be read; the schema lists the values.
    kind: str | None = None
    #: The first and the last version that have it.
    since: str | None = None
    until: str | None = None
    #: Why the result differs between ranks.
    cause: str | None = None
    #: Whether a guard holds on exactly one rank.
    one: bool | None = None
    #: The parameter that is called later.
    callback: str | None = None
    #: With one of these constants for these parameters the call is no collective, or a decorator lets all ranks in.
    unless: tuple[tuple[str, object], ...] = ()
    #: The call is one with one of these arguments only; empty: with any. Names stand for members of enumerations.
    when: tuple[tuple[str, object], ...] = ()
    #: The parameter whose text names the axis; that the call runs first, on one rank where the row says `one`.
    axis_by: str | None = None
    runs: str | None = None
    #: With one of these arguments what a decorator stands above is given this rank's own data.
    own_data: tuple[tuple[str, object], ...] = ()
    #: What a message says about it.
    why: str = ""
    #: The name it has in newer versions.
    renamed: str | None = None
    #: The parameter that is sharded over the ranks from then on; that is written; that is pickled and sent; that has no effect.
    shards: str | None = None
    saves: str | None = None
    pickles: str | None = None
    ignored: str | None = None
    #: The class of an argument -> the class of what is returned in its place.
    wraps: Mapping[str, str] = field(default_factory=dict)
    #: The parameter with the rank that the result is another number of.
    translates: str | None = None
    #: Ways to make a collective of the call: names of its package, `option=true`, `key:value` of a configuration. Empty: it is one.
    only_with: tuple[tuple[str, ...], ...] = ()
    #: The class that wraps the models among the arguments: what is returned in their places.
    wrapped: str | None = None
    #: Context managers and decorators in which it is no collective, by their last names, and those in which it rarely is one.
    silent_in: frozenset[str] = frozenset()
    rare_in: frozenset[str] = frozenset()
    #: The parameter with the number of times that the ranks meet in it.
    turns: str | None = None
    #: "medium" or "low": how sure it is that it is a collective, where nothing else says so.
    confidence: str | None = None

    @property
    def op(self) -> str:
        """Its own name, for messages: `all_reduce`; `operation` is what it does."""
        return self.name.rpartition(".")[2]

    def position(self, role: str) -> int | None:
        """Index of the argument that plays `role` when it is passed by position, or None."""
        name = self.roles.get(role)
        return self.params.index(name) if name is not None else None


@dataclass(frozen=True)
class Catalog:
    """All rows of all files, by qualified name."""

    apis: dict[str, Api]
    #: Environment variable -> the axis it varies over.
    environment: dict[str, str]
    #: Class -> what its instances are: "group", "mesh", "ops" or "object".
    classes: dict[str, str]
    #: Prefix of a class's name -> the class that all of these are.
    families: dict[str, str]
    #: Names of the default group; modules with rows.
    world: frozenset[str]
    modules: frozenset[str]
    conventions: tuple[Convention, ...]
    #: Name of a method, of whatever object -> the cause for which its result differs between ranks.
    methods: dict[str, str]
    #: Call -> what it does to a path. A method that has rows for some classes or names also has one without these.
    file_uses: dict[str, FileApi]
    #: Calls that read environment variables; calls that can fail on one rank alone.
    readers: frozenset[str]
    fallible: frozenset[str]
    #: Functions that give None where they find nothing; exceptions that mean a failure on one rank.
    maybe_none: frozenset[str]
    failures: frozenset[str]
    #: Functions that call their first argument with the other ones and return its result.
    callers: frozenset[str]
    #: Functions whose result is their first argument for an iteration, or an iterator over all arguments.
    wrappers: frozenset[str]
    iterators: frozenset[str]
    #: Functions, and methods by their last names, whose result is the share of a rank.
    unequal_shares: frozenset[str]
    #: Functions that make a tensor of their first argument, and of a size.
    tensors: frozenset[str]
    buffers: frozenset[str]
    #: Parts of names by which projects test for one rank.
    hints: frozenset[str]
    #: What makes parameters of a model; calls that return state which each rank has of its own.
    parameters: frozenset[str]
    local_states: frozenset[str]
    #: Calls that seed the random numbers of Python with their first argument.
    seeds: frozenset[str]
    #: Calls with which a program silences warnings, by their `message`; those that report something and do nothing else.
    silencing: frozenset[str]
    reporting: frozenset[str]
    #: Context managers that remove a folder at their end.
    temporary: frozenset[str]
    #: Parts of names of pieces of a whole, and of paths that each rank has of its own.
    shard_words: frozenset[str]
    own_words: frozenset[str]
    #: Objects of a module that have methods of their own.
    objects: frozenset[str]
    #: Attributes and methods of tensors that say nothing of their elements.
    metadata: frozenset[str]
    #: Functions and methods that give as many elements as something holds for in a tensor.
    data_selections: frozenset[str]
    #: Methods of tensors that give another tensor; methods after which no asynchronous collective is under way any more.
    copying: frozenset[str]
    synchronising: frozenset[str]
    #: Context managers in which collectives run together at the end.
    coalescing: frozenset[str]
    #: Classes whose objects are sharded over the ranks.
    sharded: frozenset[str]
    #: Attributes that are equal for objects that differ only in their number.
    kinds: frozenset[str]
    #: Parts of names of what is only there to test the program.
    trial_words: frozenset[str]
    #: Collectives that ranks may issue in any order: what is reduced with what is told by a name.
    negotiated: frozenset[str]
    #: Attributes of process groups; attributes that are lists of tables.
    group_members: frozenset[str]
    tables: frozenset[str]
    #: Environment variables that hold the number of ranks.
    sizes: frozenset[str]
    #: Functions and classes that make the processes of a job one, or are only used where they are.
    starters: frozenset[str]
    #: Packages that start no ranks, and call what they are given in the program that gives it.
    in_process: frozenset[str]
    #: Packages whose functions run on several ranks under a launcher of their own, or run elsewhere.
    launchers: frozenset[str]
    #: Packages that run the programs which import them, in one process.
    one_process: frozenset[str]
    #: Functions that do not call what they are given, by their last names.
    not_calling: frozenset[str]
    #: Decorators after which a function is called by its own name only, by their last names.
    plain_decorators: frozenset[str]
    #: Decorators that make no objects of the class below them, by their last names.
    plain_class_decorators: frozenset[str]
    #: Classes that call no method of a class below them but those of the language, by their last names.
    plain_bases: frozenset[str]
    #: Methods that `torch.nn.Module` calls itself.
    module_methods: frozenset[str]
    #: Classes of tests, by their last names, that run on several ranks, or start no processes; parts of names of decorators that run one so.
    distributed_tests: frozenset[str]
    plain_tests: frozenset[str]
    rank_marks: frozenset[str]
    #: Names of what has the rank in the default group; those of parameters that have it beside one of another rank.
    rank_names: frozenset[str]
    global_rank_names: frozenset[str]
    #: Names of the ranks of a whole job, as a list or a number; words for one of its groups, as in `tp_group.world_size`.
    world_names: frozenset[str]
    group_words: frozenset[str]
    #: Parts of names: of flags and counts that ask for several ranks, of functions in which ranks may wait, of conditions that let one write.
    several_words: frozenset[str]
    waiting_words: frozenset[str]
    writer_words: frozenset[str]
    #: Methods that load a state dict, and return the names that did not fit; classes of their options: by their last names.
    lenient_loads: frozenset[str]
    lenient_options: frozenset[str]
    #: Functions that take the norm of what a rank has, and wrappers that leave a part of each parameter on a rank.
    own_norms: frozenset[str]
    own_shards: frozenset[str]
    #: Classes whose methods a library calls on every rank.
    every_rank: frozenset[str]
    #: Beginnings of the names of functions that compute with a path, or read the file that is there.
    path_readers: frozenset[str]
    #: Methods that go back through a model from the loss of a batch.
    backward: frozenset[str]
    #: Functions, or `(parameters)` of them, that a framework calls with a rank's own data, and with a model it has wrapped.
    data_parameters: frozenset[str]
    wrapped_parameters: frozenset[str]
    #: Functions and methods whose result says what is in a tensor, and methods that make one number of all that is.
    data_tests: frozenset[str]
    data_numbers: frozenset[str]
    #: Parts of names of functions whose result is the same on all ranks, as far as their names tell.
    sharing_words: frozenset[str]
    #: Words for groups whose ranks work on the same data.
    replica_words: frozenset[str]
    #: Methods and functions that cut a tensor into pieces of a size, by their last names.
    data_pieces: frozenset[str]
    #: Methods that `apply` of their class calls, with a context in front.
    applied: frozenset[str]
    #: Words for groups whose ranks work on different data, and have different parts of a model.
    data_words: frozenset[str]
    stage_words: frozenset[str]
    #: Names with rows that hold where a program does not have their source.
    source_first: frozenset[str]
    #: Functions and classes that give all ranks equally many batches, by their last names.
    even_loaders: frozenset[str]
    #: What `convention` has answered: the same few names are asked for again and again.
    known_names: dict[str, list[Convention]] = field(default_factory=dict, compare=False)

    @cached_property
    def names(self) -> frozenset[str]:
        """Every dotted name that the catalogue defines in any program, and the modules and classes containing it."""
        found = {*self.apis, *self.classes, *self.world, *self.objects} - self.source_first
        return frozenset(found | {name.rpartition(".")[0] for name in found} | self.modules - self.source_first)

    @cached_property
    def data_methods(self) -> frozenset[str]:
        """The unqualified names of the functions that a framework calls with a rank's own data."""
        return frozenset(name.rpartition(".")[2].partition("(")[0] for name in self.data_parameters)

    @cached_property
    def wrapper_methods(self) -> frozenset[str]:
        """The names of methods of a wrapped model that every rank calls together."""
        owners = {name.removesuffix(".__call__") for name in self.apis if name.endswith(".__call__")}
        pairs = (name.rpartition(".") for name, api in self.apis.items() if api.category == "implicit")
        found = {method for owner, _, method in pairs if owner in owners and not method.startswith("__")}
        return frozenset({*found, BACKWARD})

    @cached_property
    def settings(self) -> frozenset[str]:
        """Names of attributes that a framework reads on every rank, and of methods that run registered callbacks."""
        return frozenset(api.op for api in self.apis.values() if api.operation == SETTING or ")" in (api.runs or ""))

    @cached_property
    def modes(self) -> frozenset[str]:
        """The unqualified names of context managers and decorators under which some call is not a collective."""
        return frozenset().union(*(api.silent_in | api.rare_in for api in self.apis.values()))

    @cached_property
    def by_name(self) -> CatalogNames:
        """The conventions and class aliases, looked up by name."""
        return CatalogNames(self.conventions, self.classes)

    def class_of(self, name: str) -> str | None:
        """The catalogue class with this name, or the one whose family (name prefix) it belongs to; None if neither."""
        if name in self.classes:
            return name
        last = name.rpartition(".")[2]
        if not last[:1].isupper():
            return None
        return next((known for prefix, known in self.families.items() if name.startswith(prefix)), None)

    def of(self, *categories: Category) -> list[Api]:
        """The rows of these categories, once for each name a function is known under."""
        return [api for api in self.apis.values() if api.category in categories]

    def convention(self, name: str, meaning: str, *, optional: bool = False) -> Convention | None:
        """The convention that gives `name` this meaning, or None; `optional`: the parameter defaults to None."""
        fitting = self.known_names.get(name)
        if fitting is None:
            fitting = self.known_names[name] = self.by_name.fitting(name)
        for rule in fitting:
            if rule.meaning == meaning and rule.of is None and (optional or rule.when is None):
                return rule
        return None
