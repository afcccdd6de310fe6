"""The contract test of a provider, for its author to run: ``check_provider(MyProvider)``.

It needs no test framework, and works in a script, in a test of any kind and in a notebook. A provider that passes
streams, stops at once when it is told to, fails with errors that tell the user what to do, and leaves nothing behind.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flowgpt_magic.errors import FlowGptWarning
from flowgpt_magic.testing import contract, contract_replies
from flowgpt_magic.testing.contract import Case, NotKeptError, told
from flowgpt_magic.testing.isolation import StuckError, complaints

PROMPT = "Count from one to ten, in words, separated by spaces."

Point = Callable[[Case], None]
# What is checked in one stage makes no sense where an earlier one has failed.
STAGES: tuple[tuple[Point, ...], ...] = (
    (contract.is_a_class,),
    (
        contract.has_attributes,
        contract.can_be_called,
        contract.knows_its_models,
        contract.begins_nothing,
        contract.is_found,
    ),
    (contract_replies.streams,),
    (
        contract_replies.answers_again,
        contract_replies.leaves_messages_alone,
        contract_replies.stops_when_left,
        contract_replies.stops_when_cancelled,
        contract_replies.answers_two_at_once,
        contract_replies.takes_images,
        contract_replies.keeps_to_a_schema,
        contract_replies.lists_models,
        contract_replies.fails_well,
        contract_replies.lets_others_run,
        contract_replies.leaves_nothing,
    ),
)


class ContractError(AssertionError):
    """A provider does not keep the contract; ``broken`` holds a sentence for each point that it does not keep."""

    def __init__(self, provider: str, broken: Sequence[str]) -> None:
        self.broken = list(broken)
        lines = "".join(f"\n- {each}" for each in self.broken)
        super().__init__(f"{provider} does not keep the contract of a provider:{lines}")


def check_provider(
    provider_class: type,
    *,
    name: str | None = None,
    model: str | None = None,
    prompt: str = PROMPT,
    failing: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    patience: float = 60.0,
    **settings: Any,
) -> list[str]:
    """The points of the contract that ``provider_class`` keeps, all of them; asks it about ten times.

    ``model`` is asked ``prompt``, with ``settings`` as keyword arguments. With ``name``, it must be installed under it.
    ``failing`` are keyword arguments (or several such mappings; ``model`` may be among them) with which it must fail,
    such as a wrong key; ``()`` says that there are none. A reply may take ``patience`` seconds. Raises
    ``ContractError``, which lists every point that is not kept and what to do; warns of what could not be told.
    """
    cases = [failing] if isinstance(failing, Mapping) else list(failing or ())
    case = Case(provider_class, name, model, prompt, cases, patience, settings)
    kept: list[str] = []
    broken: list[str] = []
    with complaints() as heard:
        for stage in STAGES:
            for point in stage:
                _check(point, case, kept, broken)
            if broken:
                break
    broken += [f"the interpreter complains: {each}" for each in heard]
    if broken:
        raise ContractError(getattr(provider_class, "__name__", repr(provider_class)), broken)
    if failing is None and not case.address_setting:
        text = "its errors were not checked: name settings with which it fails, failing={…}, or say failing=()"
        warnings.warn(f"{provider_class.__name__}: {text}", FlowGptWarning, stacklevel=2)
    return kept


def _check(point: Point, case: Case, kept: list[str], broken: list[str]) -> None:
    sentence = (point.__doc__ or point.__name__).strip()
    try:
        point(case)
    except NotKeptError as error:
        broken.append(f"{sentence} But {error}.")
    except StuckError:
        broken.append(f"{sentence} But it did not give the event loop back: it waits without await, or for ever.")
        raise ContractError(case.provider.__name__, broken) from None
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the provider's own code, which may raise anything
        broken.append(f"{sentence} But it raises {told(error)}.")
    else:
        kept.append(sentence)
