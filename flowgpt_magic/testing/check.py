"""The contract test of a provider, for its author to subject: ``check_provider(MyProvider)``.

It needs no test framework and works in scripts, tests and notebooks. A provider that passes streams its replies, stops
immediately when it is cancelled, fails with errors that say what to do, and leaves no resources open.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flowgpt_magic.errors import FlowGptWarning
from flowgpt_magic.testing import contract, contract_replies
from flowgpt_magic.testing.contract import Subject, ViolationError, describe_error
from flowgpt_magic.testing.isolation import LoopBlockedError, interpreter_warnings

COUNTING_PROMPT = "Count from one to ten, in words, separated by spaces."

Check = Callable[[Subject], None]
# A stage is only run if all earlier ones have passed.
STAGES: tuple[tuple[Check, ...], ...] = (
    (contract.check_base_classes,),
    (
        contract.check_attributes,
        contract.check_signature,
        contract.check_models,
        contract.check_no_work,
        contract.check_registration,
    ),
    (contract_replies.check_stream,),
    (
        contract_replies.check_second_loop,
        contract_replies.check_messages_unchanged,
        contract_replies.check_early_close,
        contract_replies.check_cancellation,
        contract_replies.check_concurrency,
        contract_replies.check_images,
        contract_replies.check_schema,
        contract_replies.check_model_list,
        contract_replies.check_errors,
        contract_replies.check_blocking,
        contract_replies.check_leftovers,
    ),
)


class ContractError(AssertionError):
    """A provider violates the contract; ``violations`` holds a sentence for each point."""

    def __init__(self, provider: str, violations: Sequence[str]) -> None:
        self.violations = list(violations)
        lines = "".join(f"\n- {violation}" for violation in self.violations)
        super().__init__(f"{provider} violates the provider contract:{lines}")


def check_provider(
    provider_class: type,
    *,
    name: str | None = None,
    model: str | None = None,
    prompt: str = COUNTING_PROMPT,
    failing: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    patience: float = 60.0,
    **settings: Any,
) -> list[str]:
    """Check that a provider keeps the contract; return its points, one sentence each. Sends about ten prompts.

    Raises ``ContractError``, which lists every violated point and what to do. Warns about what could not be checked.

    Args:
        provider_class: the class to check.
        name: the name under which it must be installed; None does not check that.
        model: the model to ask; None is the provider's default.
        prompt: what to ask; the answer should be longer than one chunk.
        failing: keyword arguments with which the provider must fail, such as a wrong key; or several such mappings.
            They may contain ``model``. ``()`` says that there are none, None warns that errors were not checked.
        patience: seconds that a reply may take.
        settings: further keyword arguments for the provider, as in a call.
    """
    cases = [failing] if isinstance(failing, Mapping) else list(failing or ())
    subject = Subject(provider_class, name, model, prompt, cases, patience, settings)
    satisfied: list[str] = []
    violations: list[str] = []
    with interpreter_warnings() as complaints:
        for stage in STAGES:
            for check in stage:
                _run(check, subject, satisfied, violations)
            if violations:
                break
    violations += [f"the interpreter warns: {complaint}" for complaint in complaints]
    if violations:
        raise ContractError(getattr(provider_class, "__name__", repr(provider_class)), violations)
    if failing is None and not subject.address_setting:
        text = "its errors were not checked: pass settings with which it fails, failing={…}, or failing=()"
        warnings.warn(f"{provider_class.__name__}: {text}", FlowGptWarning, stacklevel=2)
    return satisfied


def _run(check: Check, subject: Subject, satisfied: list[str], violations: list[str]) -> None:
    sentence = (check.__doc__ or check.__name__).strip()
    try:
        check(subject)
    except ViolationError as error:
        violations.append(f"{sentence} But {error}.")
    except LoopBlockedError:
        violations.append(f"{sentence} But it blocks the event loop: it waits without await, or for ever.")
        raise ContractError(subject.provider.__name__, violations) from None
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the provider's own code, which may raise anything
        violations.append(f"{sentence} But it raises {describe_error(error)}.")
    else:
        satisfied.append(sentence)
